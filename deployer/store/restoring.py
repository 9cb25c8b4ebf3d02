"""Unpacking a NAR to any place, with ordinary modes and times: what `nix-store --restore` does."""

from __future__ import annotations

import errno
import os
from typing import Callable, Iterator

from deployer.formats.nar import NarReader, NarRefused
from deployer.store import trees

Read = Callable[[int], bytes]


def restore(read: Read, destination: str) -> None:
    """Unpack the NAR that `read(n)` returns up to n bytes of. What was made is removed where it is broken.

    Raises `NarRefused` and `OSError`; `FileExistsError` also where a link stands that leads nowhere.
    """
    if os.path.lexists(destination):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), destination)
    sink = _Restorer(destination, _no_file)
    try:
        NarReader(exactly(read), sink, lambda _: None).tree()
    except FileExistsError:
        raise
    except BaseException:
        trees.remove(destination)
        raise


def exactly(read: Read) -> Read:
    """From a reader of up to n bytes to one of exactly n. Raises `NarRefused` where there are no more."""

    def read_all(size: int) -> bytes:
        pieces = []
        while size:
            piece = read(size)
            if not piece:
                raise NarRefused("it ends too early")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    return read_all


class _Restorer(trees.Unpacker):
    """Leaves modes to the user's umask, and times as they are."""

    def directory(self, path: bytes) -> None:
        os.mkdir(self._at(path), 0o777)

    def symlink(self, path: bytes, target: bytes) -> None:
        os.symlink(target, os.fsencode(self._at(path)))

    def file(self, path: bytes, executable: bool, size: int, pieces: Iterator[bytes]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._at(path), flags, 0o666), "wb") as file:
            for piece in pieces:
                file.write(piece)
            if executable:
                os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode | 0o111)


def _no_file(name: str) -> str:
    raise NarRefused(f"it names a file {name!r} that is held elsewhere")
