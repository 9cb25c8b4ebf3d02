"""The loader's cache of a root tree, `/etc/ld.so.cache`, as ldconfig(8) writes it, and whether the tree needs one.

A loader finds what lies in its own directories without; only libraries in others, which a file of `/etc/ld.so.conf.d` names, are
found by the cache alone. Written by us, it is the same whatever machine makes the tree, and no program of the tree runs.

The format is glibc's "new" one (`cacheinfo.h`, `dl-cache.h`), which loaders since 2.2 read: a header, an entry for each library
in the order in which loaders search, and the strings that these point to. Other than ldconfig, who made it is not written down,
and of libraries that come for several levels of a processor (`glibc-hwcaps`) the plain one is taken.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.build.elf import Elf
from deployer.build.root_tree import RootTree
from deployer.build.source_errors import ArchiveRefused

_MAGIC: Final = b"glibc-ld.so.cache1.1"
_HEADER: Final = struct.Struct("<20sIIB3xI12x")
_LITTLE_ENDIAN: Final = 2
_ENTRY: Final = struct.Struct("<iIIIQ")
_LIBRARY: Final = re.compile(r"(lib|ld-).*\.so.*", re.DOTALL)
_TEMPORARY: Final = (".dpkg-new", ".dpkg-tmp")
_SYSTEM_DIRECTORIES: Final = ("/lib", "/usr/lib")
"""What ldconfig looks into last, whatever its configuration says."""
_OF_ANY_C_LIBRARY: Final = 1
_OF_GLIBC_2: Final = 3
_LIBC: Final = frozenset({"libc.so.6", "libm.so.6"})
_I386, _X86_64, _AARCH64 = 3, 62, 183


@dataclass(frozen=True, slots=True)
class _Machine:
    """What a cache says of libraries for one kind of processor, and where its loader looks without one."""

    flags: int
    own_directories: tuple[str, ...]


_MACHINES: Final[Mapping[tuple[int, int], _Machine]] = {
    (64, _X86_64): _Machine(0x0300 | _OF_GLIBC_2, ("usr/lib/x86_64-linux-gnu", "usr/lib")),
    (64, _AARCH64): _Machine(0x0A00 | _OF_GLIBC_2, ("usr/lib/aarch64-linux-gnu", "usr/lib")),
    (32, _I386): _Machine(_OF_ANY_C_LIBRARY, ("usr/lib32", "usr/lib/i386-linux-gnu", "usr/lib")),
}
"""By the bits of an address, and the kind of processor."""


def loader_cache(tree: RootTree) -> bytes | None:
    """The whole file; None where the tree's loaders find all libraries without it."""
    found = list(_libraries(tree))
    return _written(found) if any(not library.is_found_without for library in found) else None


@dataclass(frozen=True, slots=True)
class _Library:
    """One library in one directory."""

    name: str
    """What it is asked for by."""
    path: str
    """Of the tree, from its top."""
    flags: int
    is_found_without: bool
    """Whether its loader looks into its directory by itself."""

    @property
    def order(self) -> tuple[Sequence[tuple[int, int]], int]:
        """What loaders search by: numbers in a name count as numbers, and come after all other characters."""
        pieces = re.findall(rb"[0-9]+|[^0-9]", os.fsencode(self.name))
        return [(1, int(piece)) if piece.isdigit() else (0, piece[0]) for piece in pieces], self.flags


def _libraries(tree: RootTree) -> Iterator[_Library]:
    """Those of all directories, in the order in which ldconfig comes by them. Of one name and machine, the first is taken."""
    seen: set[Path] = set()
    for named in (*tree.configured_directories(), *_SYSTEM_DIRECTORIES):
        directory = tree.leads_to(named)
        if directory is not None and directory not in seen and directory.is_dir():
            seen.add(directory)
            first: dict[tuple[str, int], _Library] = {}
            for library in _of_directory(tree, named, directory):
                first.setdefault((library.name, library.flags), library)
            yield from first.values()


def _of_directory(tree: RootTree, named: str, directory: Path) -> Iterator[_Library]:
    for name in sorted(path.name for path in directory.iterdir()):
        if not _LIBRARY.fullmatch(name) or name.endswith(_TEMPORARY):
            continue
        file = tree.leads_to(f"{named}/{name}")
        elf = _read(tree, file) if file is not None and file.is_file() else None
        machine = _MACHINES.get((elf.bits, elf.machine)) if elf is not None else None
        if file is None or elf is None or machine is None or not elf.is_shared:
            continue
        asked = elf.name if elf.name and "/" not in elf.name else name
        if name.endswith(".so") and asked.startswith(name) and (directory / name).is_symlink():
            asked = name  # what a linker asks for, and some programs too: `libz.so`, beside `libz.so.1`
        # The name that it is asked for by is a link to it, which outlives the version in the file's own name.
        there = asked if os.path.lexists(directory / asked) else name
        flags = machine.flags | (_OF_GLIBC_2 if _needs_libc(elf) else 0)
        without = str(directory.relative_to(tree.directory)) in machine.own_directories
        yield _Library(asked, f"{named}/{there}", flags, without)


def _read(tree: RootTree, file: Path) -> Elf | None:
    try:
        return tree.elf(file)
    except ArchiveRefused:  # ldconfig says so, and goes on
        return None


def _needs_libc(elf: Elf) -> bool:
    return bool(elf.loader or _LIBC.intersection(elf.needed))


def _written(libraries: Iterable[_Library]) -> bytes:
    # Backwards, and what comes first of equal ones stays before the others: so a loader takes it.
    entries = sorted(libraries, key=lambda library: library.order, reverse=True)
    strings = _strings({text for library in entries for text in (library.name, library.path)})
    start = _HEADER.size + len(entries) * _ENTRY.size
    table = b"".join(
        _ENTRY.pack(library.flags, start + strings.offsets[library.name], start + strings.offsets[library.path], 0, 0)
        for library in entries
    )
    return _HEADER.pack(_MAGIC, len(entries), len(strings.data), _LITTLE_ENDIAN, 0) + table + strings.data


@dataclass(frozen=True, slots=True)
class _Strings:
    data: bytes
    offsets: Mapping[str, int]


def _strings(texts: Iterable[str]) -> _Strings:
    """Each ended by a NUL; one that another ends with is a part of that."""
    longest_first = sorted(texts, key=lambda text: os.fsencode(text)[::-1], reverse=True)
    data, offsets, previous = bytearray(), dict[str, int](), ""
    for text in longest_first:
        if previous.endswith(text):
            offsets[text] = offsets[previous] + len(os.fsencode(previous)) - len(os.fsencode(text))
        else:
            offsets[text] = len(data)
            data += os.fsencode(text) + b"\0"
        previous = text
    return _Strings(bytes(data), offsets)
