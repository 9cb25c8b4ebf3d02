"""What a program or library of ELF asks of the loader: the libraries that it needs, and which loader that is.

Only 64-bit little-endian files are read (x86-64, AArch64 and kin). Format: elf(5).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_MAGIC: Final = b"\x7fELF\x02\x01"
_HEADER: Final = struct.Struct("<16xHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_DYNAMIC: Final = struct.Struct("<qQ")
_LOAD, _DYNAMIC_SEGMENT, _INTERPRETER = 1, 2, 3
_NEEDED, _STRINGS = 1, 5
_MOST_SEGMENTS: Final = 1000


class NotElf(ValueError):
    """It is no such file, or a damaged one."""


@dataclass(frozen=True, slots=True)
class Elf:
    """What was read of one file."""

    needed: tuple[str, ...]
    """File names of libraries: `libc.so.6`."""
    loader: str
    """Of a program: the path of its loader; empty for a library."""


def is_elf(head: bytes) -> bool:
    """Whether a file that begins so is one that can be read here."""
    return head.startswith(_MAGIC)


def read_elf(data: bytes) -> Elf:
    """Read a whole file. Raises `NotElf`."""
    if not is_elf(data):
        raise NotElf("it does not begin as a 64-bit little-endian ELF file does")
    try:
        segments = list(_segments(data))
        return Elf(tuple(_needed(data, segments)), _loader(data, segments))
    except (struct.error, ValueError, OverflowError) as error:
        raise NotElf(f"it is damaged: {error}") from None


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def _segments(data: bytes) -> Iterator[_Segment]:
    _, _, _, _, table, _, _, _, size, count, *_ = _HEADER.unpack_from(data)
    if size < _SEGMENT.size or count > _MOST_SEGMENTS:
        raise ValueError("its table of segments makes no sense")
    for number in range(count):
        kind, _, offset, address, _, in_file, _, _ = _SEGMENT.unpack_from(data, table + number * size)
        yield _Segment(kind, offset, address, in_file)


def _needed(data: bytes, segments: list[_Segment]) -> Iterator[str]:
    entries: list[tuple[int, int]] = []
    for segment in segments:
        if segment.kind == _DYNAMIC_SEGMENT:
            whole = segment.size - segment.size % _DYNAMIC.size
            entries += _DYNAMIC.iter_unpack(data[segment.offset : segment.offset + whole])
    strings = next((value for tag, value in entries if tag == _STRINGS), None)
    if strings is None:
        return
    places = [item.offset + strings - item.address for item in segments if item.kind == _LOAD and _covers(item, strings)]
    if not places:
        raise ValueError("its strings are nowhere")
    for tag, value in entries:
        if tag == _NEEDED:
            yield _text(data, places[0] + value)


def _covers(segment: _Segment, address: int) -> bool:
    return segment.address <= address < segment.address + segment.size


def _loader(data: bytes, segments: list[_Segment]) -> str:
    return next((_text(data, segment.offset) for segment in segments if segment.kind == _INTERPRETER), "")


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode("ascii")
