"""Locks between processes: on paths that are being made, on the collector, and roots that last as long as a process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Optional, Set

from deployer.store.errors import translate


@contextlib.contextmanager
def locked(paths: Iterable[Path]) -> Iterator[None]:
    """Hold lock files exclusively, taken in order of name so that two processes can't wait for each other."""
    with contextlib.ExitStack() as stack:
        for path in sorted(set(paths)):
            stack.enter_context(_lock(path))
        yield


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_still(descriptor, path):
                break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        yield
    finally:
        # Whoever waits on the unlinked file sees that it is gone, and opens the new one.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)


def try_lock(path: Path) -> Optional[Callable[[], None]]:
    """Take a lock file without waiting. Returns what lets go of it; None while another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = _is_still(descriptor, path)
    except BlockingIOError:
        is_ours = False
    except BaseException:
        os.close(descriptor)
        raise
    if not is_ours:
        os.close(descriptor)
        return None

    def release() -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)

    return release


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def held(path: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the collector's lock, which is never unlinked: shared to add paths, exclusive to delete them.

    Raises `StoreUnusable` for the store of another user, and `StoreFull`.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise translate(error, str(path)) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


class TemporaryRoots:
    """Paths that this process needs, through one store. The file's lock tells others that somebody lives who does."""

    def __init__(self, directory: Path) -> None:
        """Nothing is written until there is a root."""
        self._directory = directory
        self._descriptor = -1
        self._closing: Optional[weakref.finalize[[int], TemporaryRoots]] = None

    def add(self, paths: Iterable[str]) -> None:
        """Keep paths until this process ends, or nobody has the store any more."""
        if self._descriptor < 0:
            self._descriptor = self._open()
            self._closing = weakref.finalize(self, os.close, self._descriptor)
        os.write(self._descriptor, "".join(f"{path}\0" for path in paths).encode())

    def close(self) -> None:
        """Let go of all of them."""
        if self._closing is not None:
            self._closing()
            self._descriptor, self._closing = -1, None

    def _open(self) -> int:
        while True:
            path = self._directory / f"{os.getpid()}-{os.urandom(6).hex()}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # A collector that came between the two calls took the file for a dead process's, and removed it.
            if _is_still(descriptor, path):
                return descriptor
            os.close(descriptor)


def temporary_roots(directory: Path) -> Set[str]:
    """The roots of all processes that live. The files of those that don't are removed."""
    roots: Set[str] = set()
    for path in _files(directory):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with open(descriptor, "rb", closefd=False) as file:
                roots.update(part.decode() for part in file.read().split(b"\0") if part)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        finally:
            os.close(descriptor)
    return roots


def _files(directory: Path) -> List[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []
