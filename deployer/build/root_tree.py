"""Looking into a root tree of Debian packages: its programs, their loader, the libraries that they need."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.build.elf import Elf, NotElf, is_elf, read_elf
from deployer.build.source_errors import ArchiveRefused

_PROGRAM: Final = re.compile(r"python3\.\d+")
_UNWINDER: Final = "libgcc_s.so.1"
"""What the C library loads by itself when a thread ends."""
_MOST_LINKS: Final = 40


@dataclass(frozen=True, slots=True)
class RootTree:
    """A root tree on disk, whose links are followed inside it only."""

    directory: Path

    def program(self) -> Path:
        """Its newest python3. Raises `ArchiveRefused` where there is none."""
        found = sorted(path for path in (self.directory / "usr/bin").glob("python3.*") if _PROGRAM.fullmatch(path.name))
        if not found:
            raise ArchiveRefused(self.directory.name, "usr/bin", "there is no python3 in it")
        return found[-1]

    def elf(self, path: Path) -> Elf | None:
        """What a file says as a program or library; None where it is neither. Raises `ArchiveRefused` where it is broken."""
        with path.open("rb") as file:
            if not is_elf(file.read(16)):
                return None
        try:
            return read_elf(path.read_bytes())
        except NotElf as error:
            raise ArchiveRefused(self.directory.name, path.name, str(error)) from None

    def libraries(self, elves: Iterable[Elf]) -> Iterator[tuple[str, Path]]:
        """All that are needed, and what those need in turn, by the name that they are asked for. One may not be there."""
        todo, seen = [_UNWINDER, *(name for elf in elves for name in elf.needed)], set[str]()
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            for directory in self.library_directories():
                if os.path.lexists(directory / name):
                    path = self.inside(str(directory.relative_to(self.directory) / name))
                    elf = self.elf(path)
                    todo += elf.needed if elf is not None else ()
                    yield name, path
                    break

    def inside(self, logical: str) -> Path:
        """The file that a path of the tree leads to, seen from its top. Raises `ArchiveRefused` where there is none."""
        path, todo, links = self.directory, logical.split("/"), 0
        while todo:
            name = todo.pop(0)
            if name in ("", ".", ".."):
                path = path.parent if name == ".." and path != self.directory else path
                continue
            path /= name
            if path.is_symlink():
                target, links = str(path.readlink()), links + 1
                path = self.directory if target.startswith("/") else path.parent
                todo = target.split("/") + todo
            if links > _MOST_LINKS:
                break
        if todo or not path.is_file():
            raise ArchiveRefused(self.directory.name, logical, "it leads to no file of the tree")
        return path

    def library_directories(self) -> Sequence[Path]:
        """Where its loader looks, in this order."""
        return [*sorted((self.directory / "usr/lib").glob("*-linux-gnu")), self.directory / "usr/lib"]
