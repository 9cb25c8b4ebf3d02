"""The notation of `.drv` files: strings, lists and tuples without white space (Nix: derivations.cc).

The reader takes only what the writer would write, so that two texts never mean one derivation. Bytes that are not UTF-8 pass
through as lone surrogates, as Python's own file names do.
"""

from __future__ import annotations

import re
from typing import Callable, Dict, Final, Iterable, List, Tuple, TypeVar

_ESCAPES: Final = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))
"""The backslash comes first, so that those of the others stay single. Replacing one by one takes a tenth of `str.translate`."""
_UNESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}
_PLAIN: Final = r'[^"\\\n\r\t]*'
_STRING: Final = re.compile(rf'"({_PLAIN}(?:\\["\\nrt]{_PLAIN})*)"')
_RAW: Final = re.compile(r'"([^"\\]*)"')
_ESCAPED: Final = re.compile(r"\\(.)")

_T = TypeVar("_T")


def to_bytes(text: str) -> bytes:
    """As it stands in the file, and by what it is sorted. Raises `ValueError` for a surrogate that stands for no byte."""
    return text.encode("utf-8", "surrogateescape")


def from_bytes(data: bytes) -> str:
    """The text of a file."""
    return data.decode("utf-8", "surrogateescape")


def write_string(text: str) -> str:
    """A string in its quotes."""
    for letter, escaped in _ESCAPES:
        text = text.replace(letter, escaped)
    return f'"{text}"'


def write_raw(text: str) -> str:
    """A string in its quotes, with nothing escaped. Raises `ValueError` where that could not be read again."""
    if '"' in text or "\\" in text:
        raise ValueError(f"{text[:80]!r} has a quote or a backslash, which Nix does not escape there")
    return f'"{text}"'


def write_list(items: Iterable[str]) -> str:
    """A list of what is written already."""
    return f"[{','.join(items)}]"


def write_tuple(*items: str) -> str:
    """A tuple of what is written already."""
    return f"({','.join(items)})"


class Reader:
    """A cursor over a text. Everything raises `ValueError` where the text goes on differently."""

    def __init__(self, text: str) -> None:
        """At its beginning."""
        self._text, self._at = text, 0

    def expect(self, token: str) -> None:
        """Pass over a token."""
        if not self._text.startswith(token, self._at):
            raise ValueError(f"{token!r} is missing at character {self._at}")
        self._at += len(token)

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._text):
            raise ValueError("something follows it")

    def string(self) -> str:
        """A string."""
        found = _STRING.match(self._text, self._at)
        if not found:
            raise ValueError(f"no string stands at character {self._at}")
        self._at = found.end()
        text = found.group(1)
        return _ESCAPED.sub(lambda escape: _UNESCAPES.get(escape[1], escape[1]), text) if "\\" in text else text

    def raw(self) -> str:
        """A string that has no escapes: whatever is between its quotes."""
        found = _RAW.match(self._text, self._at)
        if not found:
            raise ValueError(f"no string without escapes stands at character {self._at}")
        self._at = found.end()
        return found.group(1)

    def strings(self) -> List[str]:
        """A list of strings in any order."""
        return self.items(self.string)

    def items(self, item: Callable[[], _T]) -> List[_T]:
        """A list."""
        self.expect("[")
        items: List[_T] = []
        while not self._text.startswith("]", self._at):
            if items:
                self.expect(",")
            items.append(item())
        self._at += 1
        return items

    def tuple(self, size: int) -> List[str]:
        """A tuple of strings."""
        return self._tuple(size, self.string)

    def raw_tuple(self, size: int) -> List[str]:
        """A tuple of strings that have no escapes."""
        return self._tuple(size, self.raw)

    def _tuple(self, size: int, item: Callable[[], str]) -> List[str]:
        self.expect("(")
        items = [item()]
        for _ in range(size - 1):
            self.expect(",")
            items.append(item())
        self.expect(")")
        return items

    def set(self, what: str) -> List[str]:
        """A list of strings that have no escapes and are sorted, none twice."""
        items = self.items(self.raw)
        _check_order(items, what)
        return items

    def map(self, item: Callable[[], Tuple[str, _T]], what: str) -> Dict[str, _T]:
        """A list of pairs, whose first members are sorted, none twice."""
        found = self.items(item)
        _check_order([key for key, _ in found], what)
        return dict(found)


def _check_order(keys: List[str], what: str) -> None:
    for before, after in zip(keys, keys[1:]):
        if to_bytes(before) >= to_bytes(after):
            raise ValueError(f"{what} {after[:80]!r} is out of order, or stands there twice")
