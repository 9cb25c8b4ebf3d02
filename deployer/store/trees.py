"""Trees on a disk and their NARs: written out, hashed, unpacked, and given the one form that a store allows.

A tree is reached by directory descriptors and never through a link, so that nobody who can write in it can lead us out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Callable, Final, FrozenSet, Iterator, List, Optional, Tuple

from deployer.formats import base32
from deployer.formats.nar import HELD, MAGIC, MAX_DEPTH, PIECE, padding, token
from deployer.store.errors import FileRefused

FILE_MODE: Final = 0o444
PROGRAM_MODE: Final = 0o555
MTIME: Final = 1
"""Seconds since 1970 that every file in a store shows."""
HELD_FROM: Final = 4096
"""Bytes. Smaller files are sent again rather than named."""

Write = Callable[[bytes], object]
Chooser = Callable[[str, int], bool]
"""Whether a file, by its hash and size, is held by the receiver."""
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CLOSE: Final = token(b")")
_EXECUTABLE: Final = token(b"executable") + token(b"")


def write_nar(path: str, write: Write, *, ignored: FrozenSet[str] = frozenset(), held: Optional[Chooser] = None) -> None:
    """Write the NAR of what stands at `path`; names in `ignored` are left out at any depth.

    With `held`, files that the receiver holds are named instead of sent (`formats.pathstream`).
    """
    _NarWriter(write, ignored, held).tree(path)


def nar_hash(path: str, *, ignored: FrozenSet[str] = frozenset()) -> Tuple[bytes, int]:
    """SHA-256 and size of the NAR of what stands at `path`."""
    digest, size = hashlib.sha256(), 0

    def feed(data: bytes) -> None:
        nonlocal size
        digest.update(data)
        size += len(data)

    write_nar(path, feed, ignored=ignored)
    return digest.digest(), size


def copy(path: str, destination: str, *, ignored: FrozenSet[str] = frozenset()) -> Tuple[bytes, int]:
    """Copy a tree to where nothing stands, with a store's metadata. SHA-256 and size of the NAR of what was copied."""
    digest, size, copied = hashlib.sha256(), 0, Unpacker(destination, _no_file)

    def feed(data: bytes) -> None:
        nonlocal size
        digest.update(data)
        size += len(data)

    _NarWriter(feed, ignored, copied=copied).tree(path)
    copied.finish()
    return digest.digest(), size


def file_hash(path: str, *, executable: bool, size: int) -> str:
    """The name of a regular file among the linked files: base 32 of the SHA-256 of its NAR."""
    descriptor = os.open(path, _FILE)
    try:
        return _digest(descriptor, executable, size, path)
    finally:
        os.close(descriptor)


def regular_files(path: str) -> Iterator[Tuple[str, int, bool]]:
    """Every regular file at or below `path`: its path, size, and whether it may be executed."""
    status = os.lstat(path)
    if stat.S_ISREG(status.st_mode):
        yield path, status.st_size, bool(status.st_mode & stat.S_IXUSR)
    elif stat.S_ISDIR(status.st_mode):
        for name in sorted(os.listdir(path)):
            yield from regular_files(os.path.join(path, name))


def canonicalise(path: str, *, owner: Optional[int] = None) -> None:
    """Give a tree the metadata of a store: modes, time, no attributes, our owner. Raises `FileRefused`.

    `owner` is the user who may have made it; a file with more links than one, or of somebody else, is refused, because the
    change would reach outside.
    """
    status = os.lstat(path)
    if owner is not None and status.st_uid != owner:
        raise FileRefused(path, f"it belongs to user {status.st_uid}, who did not build it")
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        os.chmod(path, 0o700)
        for name in os.listdir(path):
            canonicalise(os.path.join(path, name), owner=owner)
        mode = PROGRAM_MODE
    elif kind == stat.S_IFREG:
        mode = PROGRAM_MODE if status.st_mode & stat.S_IXUSR else FILE_MODE
    elif kind == stat.S_IFLNK:
        mode = None
    else:
        raise FileRefused(path, "it is neither a file, nor a directory, nor a link")
    for attribute in _attributes(path):
        os.removexattr(path, attribute, follow_symlinks=False)
    if os.geteuid() == 0 and (status.st_uid, status.st_gid) != (0, 0):
        os.lchown(path, 0, 0)
    if mode is not None:
        os.chmod(path, mode)
    os.utime(path, (MTIME, MTIME), follow_symlinks=False)


def make_writable(path: str) -> None:
    """Let a tree of ours be removed: a store's directories are read-only."""
    if os.path.islink(path) or not os.path.isdir(path):
        return
    os.chmod(path, 0o700)
    for entry in list(os.scandir(path)):
        if entry.is_dir(follow_symlinks=False):
            make_writable(entry.path)


def remove(path: str) -> None:
    """Remove a tree of ours, whatever its modes, and however deep; nothing where there is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        return
    os.chmod(path, 0o700)
    number = 0
    names = os.listdir(path)
    while names:
        for name in names:
            number = _flatten(os.path.join(path, name), path, number)
        names = os.listdir(path)
    os.rmdir(path)


def _flatten(entry: str, top: str, number: int) -> int:
    """Remove an entry; the directories in it come to the top first, because a build may nest more than a path can name."""
    if not stat.S_ISDIR(os.lstat(entry).st_mode):
        os.unlink(entry)
        return number
    os.chmod(entry, 0o700)
    for name in os.listdir(entry):
        child = os.path.join(entry, name)
        if not stat.S_ISDIR(os.lstat(child).st_mode):
            os.unlink(child)
            continue
        os.chmod(child, 0o700)
        while True:
            number += 1
            free = os.path.join(top, f".{number}")
            if not os.path.lexists(free):
                break
        os.rename(child, free)
    os.rmdir(entry)
    return number


class Unpacker:
    """Puts a tree where nothing stands yet (`formats.nar.NarSink`), already with a store's metadata.

    `file_of` finds the file that a stream names as held; such files are linked, or copied where that is not possible.
    """

    def __init__(self, destination: str, file_of: Callable[[str], str]) -> None:
        """The destination must not exist, not even as a link that leads nowhere."""
        self._root = destination
        self._file_of = file_of
        self._directories: List[str] = []

    def directory(self, path: bytes) -> None:
        """Make a directory."""
        where = self._at(path)
        os.mkdir(where, 0o700)
        self._directories.append(where)

    def symlink(self, path: bytes, target: bytes) -> None:
        """Make a link."""
        where = self._at(path)
        os.symlink(target, os.fsencode(where))
        os.utime(where, (MTIME, MTIME), follow_symlinks=False)

    def file(self, path: bytes, executable: bool, size: int, pieces: Iterator[bytes]) -> None:
        """Make a file."""
        descriptor = os.open(self._at(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fchmod(descriptor, PROGRAM_MODE if executable else FILE_MODE)
            os.utime(descriptor, (MTIME, MTIME))
        finally:
            os.close(descriptor)

    def held(self, path: bytes, executable: bool, name: str) -> Tuple[int, Iterator[bytes]]:
        """Link a file that is here already. Its bytes still go into the hash, so a wrong one can't slip in."""
        source, where = self._file_of(name), self._at(path)
        status = os.lstat(source)
        size = status.st_size
        if bool(status.st_mode & stat.S_IXUSR) != executable:
            # The hash is of what the stream says; the link would have the other file's mode.
            raise FileRefused(name, "it is named as a program and is none, or the other way round")
        try:
            os.link(source, where, follow_symlinks=False)
        except OSError:
            self._copy(source, path, executable, size)
        return size, self._bytes_of(where, size)

    def finish(self) -> None:
        """Make the directories read-only and old, the deepest first."""
        for where in reversed(self._directories):
            os.chmod(where, PROGRAM_MODE)
            os.utime(where, (MTIME, MTIME))

    def _copy(self, source: str, path: bytes, executable: bool, size: int) -> None:
        self.file(path, executable, size, self._bytes_of(source, size))

    @staticmethod
    def _bytes_of(path: str, size: int) -> Iterator[bytes]:
        descriptor = os.open(path, _FILE)
        try:
            yield from _pieces(descriptor, size, path)
        finally:
            os.close(descriptor)

    def _at(self, path: bytes) -> str:
        # The reader has refused every name that could lead out, and every directory on the way was made by us.
        return os.path.join(self._root, os.fsdecode(path)) if path else self._root


class _NarWriter:
    """Writes the NAR of a tree, and copies the tree meanwhile if it is told where to."""

    def __init__(
        self, write: Write, ignored: FrozenSet[str], held: Optional[Chooser] = None, copied: Optional[Unpacker] = None
    ) -> None:
        self._write, self._ignored, self._held, self._copied = write, ignored, held, copied

    def tree(self, path: str) -> None:
        self._write(token(MAGIC))
        self._node(None, os.fsencode(path), b"", path, 0)

    def _node(self, parent: Optional[int], name: bytes, inside: bytes, shown: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise FileRefused(shown, f"it is nested deeper than {MAX_DEPTH}")
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            self._file(parent, name, inside, shown)
        elif stat.S_ISLNK(status.st_mode):
            target = os.readlink(name, dir_fd=parent)
            self._write(token(b"(") + token(b"type") + token(b"symlink") + token(b"target") + token(target) + _CLOSE)
            if self._copied is not None:
                self._copied.symlink(inside, target)
        elif stat.S_ISDIR(status.st_mode):
            self._directory(parent, name, inside, shown, depth)
        else:
            raise FileRefused(shown, "it is neither a file, nor a directory, nor a link")

    def _directory(self, parent: Optional[int], name: bytes, inside: bytes, shown: str, depth: int) -> None:
        write = self._write
        write(token(b"(") + token(b"type") + token(b"directory"))
        if self._copied is not None:
            self._copied.directory(inside)
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            for child in sorted(os.fsencode(entry) for entry in os.listdir(descriptor)):
                text = os.fsdecode(child)
                if text in self._ignored:
                    continue
                write(token(b"entry") + token(b"(") + token(b"name") + token(child) + token(b"node"))
                self._node(descriptor, child, inside + b"/" + child if inside else child, f"{shown}/{text}", depth + 1)
                write(_CLOSE)
        finally:
            os.close(descriptor)
        write(_CLOSE)

    def _file(self, parent: Optional[int], name: bytes, inside: bytes, shown: str) -> None:
        write = self._write
        descriptor = os.open(name, _FILE, dir_fd=parent)
        try:
            status = os.fstat(descriptor)
            executable, size = bool(status.st_mode & stat.S_IXUSR), status.st_size
            if self._held is not None and size >= HELD_FROM:
                known = _digest(descriptor, executable, size, shown)
                os.lseek(descriptor, 0, os.SEEK_SET)
                if self._held(known, size):
                    start = token(b"(") + token(b"type") + token(b"regular") + (_EXECUTABLE if executable else b"")
                    write(start + token(HELD) + token(known.encode()) + _CLOSE)
                    return
            write(_file_head(executable) + size.to_bytes(8, "little"))
            pieces = self._written(_pieces(descriptor, size, shown))
            if self._copied is not None:
                self._copied.file(inside, executable, size, pieces)
            else:
                for _ in pieces:
                    pass
            write(padding(size) + _CLOSE)
        finally:
            os.close(descriptor)

    def _written(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._write(piece)
            yield piece


def _no_file(name: str) -> str:
    raise FileRefused(name, "no file of a tree that is copied is known by its hash")


def _digest(descriptor: int, executable: bool, size: int, shown: str) -> str:
    digest = hashlib.sha256(token(MAGIC) + _file_head(executable) + size.to_bytes(8, "little"))
    for piece in _pieces(descriptor, size, shown):
        digest.update(piece)
    digest.update(padding(size) + _CLOSE)
    return base32.encode(digest.digest())


def _file_head(executable: bool) -> bytes:
    return token(b"(") + token(b"type") + token(b"regular") + (_EXECUTABLE if executable else b"") + token(b"contents")


def _pieces(descriptor: int, size: int, shown: str) -> Iterator[bytes]:
    left = size
    while left:
        piece = os.read(descriptor, min(left, PIECE))
        if not piece:
            raise FileRefused(shown, "it became shorter while it was read")
        left -= len(piece)
        yield piece


def _attributes(path: str) -> List[str]:
    try:
        return [name for name in os.listxattr(path, follow_symlinks=False) if name != "security.selinux"]
    except OSError:
        return []
