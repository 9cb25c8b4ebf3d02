"""Looking into a root tree of Debian packages: its programs, their loader, the libraries that they need."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from deployer.build.elf import Elf, NotElf, is_elf, read_elf
from deployer.build.source_errors import ArchiveRefused, InterpreterMissing

_PROGRAM: Final = re.compile(r"python3\.\d+")
_UNWINDER: Final = "libgcc_s.so.1"
"""What the C library loads by itself when a thread ends."""
_MOST_LINKS: Final = 40
_CONFIGURATION: Final = "etc/ld.so.conf"
_PARTS: Final = "/etc/ld.so.conf.d/*.conf"


@dataclass(frozen=True, slots=True)
class RootTree:
    """A root tree on disk, whose links are followed inside it only."""

    directory: Path

    @property
    def package(self) -> str:
        """Whose tree it is, by the name of its store path."""
        return self.directory.name.partition("-")[2]

    def program(self) -> Path:
        """Its newest python3. Raises `InterpreterMissing`."""
        found = sorted(path for path in (self.directory / "usr/bin").glob("python3.*") if _PROGRAM.fullmatch(path.name))
        if not found:
            raise InterpreterMissing(self.package, "/usr/bin/python3.*", "python3")
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

    def loading(self, elf: Elf, store_path: str) -> list[str]:
        """The words before a program that is started by the tree's own loader, with its own libraries, on any machine.

        `store_path` is where the tree will be. Raises `ArchiveRefused` where the tree has no such loader.
        """
        libraries = ":".join(self.in_store(directory, store_path) for directory in self.library_directories())
        return [self.in_store(self.inside(elf.loader), store_path), "--inhibit-cache", "--library-path", libraries]

    def in_store(self, path: Path, store_path: str) -> str:
        """A path of this tree on disk, where the tree lies at `store_path`."""
        return f"{store_path}/{path.relative_to(self.directory)}"

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
        path = self.leads_to(logical)
        if path is None or not path.is_file():
            raise ArchiveRefused(self.directory.name, logical, "it leads to no file of the tree")
        return path

    def leads_to(self, logical: str) -> Path | None:
        """Where a path of the tree leads, seen from its top; something may not be there. None where links lead in a circle."""
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
                return None
        return path

    def library_directories(self) -> Sequence[Path]:
        """Where its loader looks, in this order: where it does by itself, and then where its configuration says."""
        own = [*sorted((self.directory / "usr/lib").glob("*-linux-gnu")), self.directory / "usr/lib"]
        configured = (self.leads_to(name) for name in self.configured_directories())
        return list(dict.fromkeys([*own, *(path for path in configured if path is not None and path.is_dir())]))

    def configured_directories(self) -> Sequence[str]:
        """What ld.so.conf(5) names, as paths of the tree. Without libc-bin, which brings that file, all of `ld.so.conf.d`."""
        if (self.directory / _CONFIGURATION).is_file():
            return tuple(self._configured(f"/{_CONFIGURATION}", set()))
        return tuple(self._included(_PARTS, set()))

    def _configured(self, logical: str, seen: set[Path]) -> Iterator[str]:
        path = self.leads_to(logical)
        if path is None or path in seen or not path.is_file():
            return
        seen.add(path)
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            word, *patterns = line.partition("#")[0].split() or [""]
            if word == "include":
                for pattern in patterns:
                    yield from self._included(pattern if pattern.startswith("/") else f"/etc/{pattern}", seen)
            elif word.startswith("/") and not patterns:
                yield word.partition("=")[0].rstrip("/")

    def _included(self, pattern: str, seen: set[Path]) -> Iterator[str]:
        above, _, names = pattern.rpartition("/")
        directory = self.leads_to(above)
        if directory is not None and directory.is_dir():
            for path in sorted(directory.iterdir(), key=lambda path: path.name):
                if fnmatchcase(path.name, names) and not path.name.startswith("."):
                    yield from self._configured(f"{above}/{path.name}", seen)
