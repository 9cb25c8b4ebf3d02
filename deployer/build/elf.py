"""What a program or library of ELF asks of the loader: the libraries that it needs, which loader that is, and its own name.

Little-endian files are read, of 64 bits and of 32 (x86-64, AArch64, i386 and kin). Format: elf(5).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_MAGIC: Final = b"\x7fELF"
_LITTLE_ENDIAN: Final = 1
_LOAD, _DYNAMIC_SEGMENT, _INTERPRETER = 1, 2, 3
_NEEDED, _STRINGS, _SONAME = 1, 5, 14
_SHARED: Final = 3
_MOST_SEGMENTS: Final = 1000


@dataclass(frozen=True, slots=True)
class _Layout:
    """How wide the fields of a file are, and where they stand."""

    bits: int
    header: struct.Struct
    segment: struct.Struct
    offset: tuple[int, int, int]
    """Of a segment's fields, those with its offset, its address and its size in the file."""
    dynamic: struct.Struct


_LAYOUTS: Final = {
    1: _Layout(32, struct.Struct("<16xHHIIIIIHHHHHH"), struct.Struct("<8I"), (1, 2, 4), struct.Struct("<iI")),
    2: _Layout(64, struct.Struct("<16xHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ"), (2, 3, 5), struct.Struct("<qQ")),
}
"""By the byte of a file that says its class."""


class NotElf(ValueError):
    """It is no such file, or a damaged one."""


@dataclass(frozen=True, slots=True)
class Elf:
    """What was read of one file."""

    needed: tuple[str, ...]
    """File names of libraries: `libc.so.6`."""
    loader: str
    """Of a program: the path of its loader; empty for a library."""
    name: str
    """Of a library: what it is asked for by (its SONAME); empty where it does not say."""
    bits: int
    """Of an address: 32 or 64."""
    machine: int
    """The kind of processor: an `EM_…` of elf(5)."""
    is_shared: bool
    """Whether it can be loaded at any address: libraries, and most programs today."""


def is_elf(head: bytes) -> bool:
    """Whether a file that begins so is one that can be read here."""
    return head.startswith(_MAGIC) and len(head) > 5 and head[4] in _LAYOUTS and head[5] == _LITTLE_ENDIAN


def read_elf(data: bytes) -> Elf:
    """Read a whole file. Raises `NotElf`."""
    if not is_elf(data):
        raise NotElf("it does not begin as a little-endian ELF file does")
    try:
        layout = _LAYOUTS[data[4]]
        kind, machine, *_ = layout.header.unpack_from(data)
        segments = list(_segments(data, layout))
        entries = list(_dynamic_entries(data, layout, segments))
        strings = _Strings.of(data, segments, entries)
        needed = tuple(strings.at(value) for tag, value in entries if tag == _NEEDED)
        name = next((strings.at(value) for tag, value in entries if tag == _SONAME), "")
        return Elf(needed, _loader(data, segments), name, layout.bits, machine, kind == _SHARED)
    except (struct.error, ValueError, OverflowError) as error:
        raise NotElf(f"it is damaged: {error}") from None


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def _segments(data: bytes, layout: _Layout) -> Iterator[_Segment]:
    _, _, _, _, table, _, _, _, size, count, *_ = layout.header.unpack_from(data)
    if size < layout.segment.size or count > _MOST_SEGMENTS:
        raise ValueError("its table of segments makes no sense")
    for number in range(count):
        fields = layout.segment.unpack_from(data, table + number * size)
        yield _Segment(fields[0], *(fields[at] for at in layout.offset))


def _dynamic_entries(data: bytes, layout: _Layout, segments: Sequence[_Segment]) -> Iterator[tuple[int, int]]:
    for segment in segments:
        if segment.kind == _DYNAMIC_SEGMENT:
            whole = segment.size - segment.size % layout.dynamic.size
            yield from layout.dynamic.iter_unpack(data[segment.offset : segment.offset + whole])


@dataclass(frozen=True, slots=True)
class _Strings:
    """The table of strings that dynamic entries point into."""

    data: bytes
    offset: int | None
    """In the file; None where there is no table."""

    @classmethod
    def of(cls, data: bytes, segments: Sequence[_Segment], entries: Sequence[tuple[int, int]]) -> _Strings:
        address = next((value for tag, value in entries if tag == _STRINGS), None)
        if address is None:
            return cls(data, None)
        places = [item.offset + address - item.address for item in segments if item.kind == _LOAD and _covers(item, address)]
        if not places:
            raise ValueError("its strings are nowhere")
        return cls(data, places[0])

    def at(self, value: int) -> str:
        if self.offset is None:
            raise ValueError("it names strings, and has none")
        return _text(self.data, self.offset + value)


def _covers(segment: _Segment, address: int) -> bool:
    return segment.address <= address < segment.address + segment.size


def _loader(data: bytes, segments: list[_Segment]) -> str:
    return next((_text(data, segment.offset) for segment in segments if segment.kind == _INTERPRETER), "")


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode("ascii")
