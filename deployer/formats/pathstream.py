"""The path stream: what a copy sends. Store paths one after another, each with what is to be registered of it.

    stream  = path… end
    path    = str "path" str DOCUMENT nar
    end     = str "end"

`str` is a string as in a NAR; DOCUMENT is a JSON object {path, nar_hash, nar_size, references, deriver}. The NAR may name, in
place of a file's contents, a file that the receiver holds already (`nar.HELD`); its hash and size are those of the true NAR.
References come before what refers to them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Callable, Final, Optional, Tuple

from deployer.errors import JsonValue
from deployer.formats.frames import parse_document
from deployer.formats.nar import NarRefused, token

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

    def encode(self) -> bytes:
        """As it stands in the stream, before the NAR."""
        document = {
            "path": self.path,
            "nar_hash": self.nar_hash,
            "nar_size": self.nar_size,
            "references": sorted(self.references),
            "deriver": self.deriver,
        }
        return token(PATH) + token(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def encode_end() -> bytes:
    """What ends a stream."""
    return token(END)


def read_header(read: Callable[[int], bytes]) -> Optional[PathHeader]:
    """The next path's header, or None at the end. `read(n)` returns exactly n bytes or raises. Raises `NarRefused`."""
    word = _string(read, 16)
    if word == END:
        return None
    if word != PATH:
        raise NarRefused(f"{word[:40]!r} stands where a path should")
    document = parse_document(_string(read, MAX_HEADER))
    references = document.get("references")
    if not isinstance(references, list):
        raise NarRefused("a path's references are not a list")
    size = document.get("nar_size")
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        raise NarRefused("a path's size is not a positive number")
    return PathHeader(
        _text(document.get("path")),
        _text(document.get("nar_hash")),
        size,
        tuple(_text(reference) for reference in references),
        _text(document.get("deriver")),
    )


def _string(read: Callable[[int], bytes], longest: int) -> bytes:
    size = int.from_bytes(read(8), "little")
    if size > longest:
        raise NarRefused(f"a string of {size} bytes where at most {longest} are allowed")
    padded = read(size + -size % 8)
    if any(padded[size:]):
        raise NarRefused("its padding is not zero")
    return padded[:size]


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise NarRefused("a path's header holds something that is not a string")
    return value
