"""Writing a tree of files whose names come from strangers.

Every step goes through a descriptor of the directory that it happens in, opened without following links, so no name and no
link that an archive brings can make us write outside the tree: not even when two of its members work together.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final

MAX_NAME: Final = 255
MAX_TARGET: Final = 4095
MAX_DEPTH: Final = 64
"""Nesting that a NAR can hold."""
_MAX_LINKS: Final = 32
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class NameRefusedError(Exception):
    """A name or link target that cannot stand in the tree; the text says why. Callers turn it into their own error."""


def clean_name(name: str) -> tuple[str, ...]:
    """The components of a relative name. Refuses absolute names, `..`, and what a NAR cannot hold."""
    if name.startswith("/"):
        raise NameRefusedError("its name is absolute")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    for part in parts:
        if part == "..":
            raise NameRefusedError("its name leads out of the tree")
        if "\0" in part or len(os.fsencode(part)) > MAX_NAME:
            raise NameRefusedError("its name holds a NUL or is too long")
    if len(parts) > MAX_DEPTH:
        raise NameRefusedError(f"it is nested deeper than {MAX_DEPTH} directories")
    return parts


def check_target(parts: tuple[str, ...], target: str) -> None:
    """Refuse a symbolic link at `parts` that leads out of the tree."""
    if target.startswith("/"):
        raise NameRefusedError(f"it is a link to an absolute path, {target!r}")
    depth = len(parts) - 1
    for part in target.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            raise NameRefusedError(f"it is a link out of the tree, to {target!r}")


class TreeWriter:
    """Writes below one directory, which it creates.

    With `inside_links`, directories that are symbolic links within the tree are gone through, with the tree's top as `/`: as
    a package manager does in a root tree. Without, a name that goes through a link is refused.
    """

    def __init__(self, root: Path, *, inside_links: bool = False) -> None:
        """Create the directory `root`."""
        os.mkdir(root, 0o755)
        self._root = os.open(root, _DIRECTORY)
        self._inside_links = inside_links
        self._open: dict[tuple[str, ...], int] = {}

    def __enter__(self) -> TreeWriter:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close every descriptor."""
        self._close_cached()
        os.close(self._root)

    def directory(self, parts: tuple[str, ...]) -> None:
        """Make a directory and those above it; one that is there already is kept."""
        self._descend(self._real(parts))

    def file(self, parts: tuple[str, ...], chunks: Iterable[bytes], *, executable: bool) -> None:
        """Write a new file. Raises `FileExistsError`."""
        parent, name = self._parent(parts)
        descriptor = os.open(name, _NEW_FILE, 0o755 if executable else 0o644, dir_fd=parent)
        with open(descriptor, "wb", buffering=0) as file:
            for chunk in chunks:
                file.write(chunk)

    def symlink(self, parts: tuple[str, ...], target: str) -> None:
        """Make a symbolic link. Raises `FileExistsError`."""
        if not target or "\0" in target or len(os.fsencode(target)) > MAX_TARGET:
            raise NameRefusedError("its target is empty, holds a NUL or is too long")
        parent, name = self._parent(parts)
        os.symlink(target, name, dir_fd=parent)
        self._close_cached()  # a link may now stand where names are resolved

    def hard_link(self, parts: tuple[str, ...], existing: tuple[str, ...]) -> None:
        """Give a file of this tree a second name. Raises `FileExistsError`; `NameRefusedError` where there is no such file."""
        source, source_name = self._parent(existing, create=False)
        try:
            found = os.stat(source_name, dir_fd=source, follow_symlinks=False)
        except FileNotFoundError:
            raise NameRefusedError(f"it is a hard link to {'/'.join(existing)!r}, which is not in the tree") from None
        if stat.S_ISDIR(found.st_mode):
            raise NameRefusedError("it is a hard link to a directory")
        source = os.dup(source)
        try:
            parent, name = self._parent(parts)
            os.link(source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def status(self, parts: tuple[str, ...]) -> os.stat_result | None:
        """What stands at a name, itself and not what it links to."""
        try:
            parent, name = self._parent(parts, create=False)
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except (FileNotFoundError, NameRefusedError):
            return None

    def names(self, parts: tuple[str, ...]) -> list[str]:
        """What is in a directory, in order; nothing where there is none."""
        try:
            return sorted(os.listdir(self._descend(self._real(parts), create=False)))
        except (FileNotFoundError, NameRefusedError):
            return []

    def is_directory(self, parts: tuple[str, ...]) -> bool:
        """Whether a directory stands at a name, itself and not a link to one."""
        status = self.status(parts)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def read_link(self, parts: tuple[str, ...]) -> str:
        """The target of a symbolic link."""
        parent, name = self._parent(parts, create=False)
        return os.readlink(name, dir_fd=parent)

    def read_file(self, parts: tuple[str, ...]) -> bytes:
        """The content of a regular file."""
        parent, name = self._parent(parts, create=False)
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent), "rb") as file:
            return file.read()

    def _parent(self, parts: tuple[str, ...], *, create: bool = True) -> tuple[int, str]:
        if not parts:
            raise NameRefusedError("it has no name")
        return self._descend(self._real(parts[:-1]), create=create), parts[-1]

    def _descend(self, parts: tuple[str, ...], *, create: bool = True) -> int:
        """A descriptor of a directory, opened component by component."""
        known = len(parts)
        while known and parts[:known] not in self._open:
            known -= 1
        descriptor = self._open[parts[:known]] if known else self._root
        for depth in range(known, len(parts)):
            descriptor = self._step(descriptor, parts[depth], create=create)
            if len(self._open) >= 256:
                held = os.dup(descriptor)
                os.close(descriptor)
                self._close_cached()
                descriptor = held
            self._open[parts[: depth + 1]] = descriptor
        return descriptor

    @staticmethod
    def _step(descriptor: int, name: str, *, create: bool) -> int:
        if create:
            try:
                os.mkdir(name, 0o755, dir_fd=descriptor)
            except FileExistsError:
                pass
        try:
            return os.open(name, _DIRECTORY, dir_fd=descriptor)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise NameRefusedError("its name goes through a link or a file") from None
            raise

    def _real(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """The components with links inside the tree resolved, where that is allowed."""
        if not self._inside_links or parts in self._open:
            return parts
        done: list[str] = []
        todo = list(reversed(parts))
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                done = done[:-1]
                continue
            target = self._link_at((*done, part))
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise NameRefusedError("its name goes through too many links")
            if target.startswith("/"):
                done = []
            todo.extend(reversed([item for item in target.split("/") if item not in ("", ".")]))
        return tuple(done)

    def _link_at(self, parts: tuple[str, ...]) -> str | None:
        if parts in self._open:
            return None
        try:
            parent = self._descend(parts[:-1], create=False)
            return os.readlink(parts[-1], dir_fd=parent)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.EINVAL:
                return None
            raise

    def _close_cached(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
