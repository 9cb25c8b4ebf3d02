"""Going into a lab: the calling thread's network becomes that of the lab's controller namespace."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

CLONE_NEWNET: Final = 0x40000000


class HasNamespace(Protocol):
    """A lab, or one of its hosts."""

    @property
    def namespace(self) -> Path:
        """The file of its network namespace."""
        ...


def enter(place: HasNamespace) -> None:
    """Move the calling thread, and all threads and processes that it starts later, into the lab's network for good."""
    with _opened(place.namespace) as descriptor:
        _setns(descriptor)


@contextlib.contextmanager
def inside(place: HasNamespace) -> Iterator[None]:
    """Be in the lab's network for the time of the block."""
    with _opened(Path("/proc/thread-self/ns/net")) as before:
        enter(place)
        try:
            yield
        finally:
            _setns(before)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
