"""The path stream: what a copy sends. Store paths one after another, each with what is to be registered of it.

    stream  = path… end
    path    = str "path" str DOCUMENT nar
    end     = str "end"

`str` is a string as in a NAR; DOCUMENT is a JSON object {path, nar_hash, nar_size, references, deriver, ca, signatures}. The
last two stand there only where they are not empty: older readers pass over keys that they do not know, and newer ones take
what is absent for empty. The NAR may name, in place of a file's contents, a file that the receiver holds already
(`nar.HELD`); its hash and size are those of the true NAR. References come before what refers to them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Callable, Dict, Final, Optional, Tuple

from deployer.errors import JsonValue
from deployer.formats.frames import parse_document
from deployer.formats.nar import NarRefused, read_string, token

PATH: Final = b"path"
END: Final = b"end"
MAX_HEADER: Final = 4 << 20
"""Bytes of one DOCUMENT: references are the only part that can be long."""


@dataclass(frozen=True)
class PathHeader:
    """What a store registers of a path, besides its content."""

    path: str
    nar_hash: str
    """`sha256:` and base 32."""
    nar_size: int
    references: Tuple[str, ...] = ()
    deriver: str = ""
    ca: str = ""
    """`text:HASH` or `fixed:[r:]HASH`, where the path is addressed by its content."""
    signatures: Tuple[str, ...] = ()
    """`KEY:SIGNATURE` of those who vouch for it."""

    def encode(self) -> bytes:
        """As it stands in the stream, before the NAR."""
        document: Dict[str, JsonValue] = {
            "path": self.path,
            "nar_hash": self.nar_hash,
            "nar_size": self.nar_size,
            "references": [*sorted(self.references)],
            "deriver": self.deriver,
        }
        if self.ca:
            document["ca"] = self.ca
        if self.signatures:
            document["signatures"] = [*self.signatures]
        return token(PATH) + token(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def encode_end() -> bytes:
    """What ends a stream."""
    return token(END)


def read_header(read: Callable[[int], bytes]) -> Optional[PathHeader]:
    """The next path's header, or None at the end. `read(n)` returns exactly n bytes or raises. Raises `NarRefused`."""
    word = read_string(read, 16)
    if word == END:
        return None
    if word != PATH:
        raise NarRefused(f"{word[:40]!r} stands where a path should")
    document = parse_document(read_string(read, MAX_HEADER))
    size = document.get("nar_size")
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        raise NarRefused("a path's size is not a positive number")
    return PathHeader(
        _text(document.get("path")),
        _text(document.get("nar_hash")),
        size,
        _texts(document.get("references")),
        _text(document.get("deriver")),
        _text(document.get("ca", "")),
        _texts(document.get("signatures", [])),
    )


def _texts(value: JsonValue) -> Tuple[str, ...]:
    if not isinstance(value, list):
        raise NarRefused("a path's header holds something that is not a list")
    return tuple(_text(item) for item in value)


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise NarRefused("a path's header holds something that is not a string")
    if not value.isprintable():
        # A line's end would become a line of a narinfo, an escape one of a terminal.
        raise NarRefused("a path's header holds control characters")
    return value
