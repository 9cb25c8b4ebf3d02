"""The host's lock: held by whoever drives a transaction, for as long as it drives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import Final, Iterator, Optional

from deployer.host.disk import Disk
from deployer.host.paths import LOCK

_POLL: Final = 0.05


def try_lock(disk: Disk, timeout: float = 0.0) -> Optional[int]:
    """The descriptor that holds the lock, or None where somebody else held it for all of `timeout` seconds."""
    deadline = time.monotonic() + timeout
    path = str(disk.root) + LOCK
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_there(path, descriptor):
                return descriptor
        except BlockingIOError:
            pass
        os.close(descriptor)
        if time.monotonic() >= deadline:
            return None
        time.sleep(_POLL)


@contextlib.contextmanager
def locked(disk: Disk, timeout: float = 0.0) -> Iterator[bool]:
    """Hold the lock inside the block; the value says whether we do."""
    descriptor = try_lock(disk, timeout)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_still_there(path: str, descriptor: int) -> bool:
    """An uninstallation removes the file while it holds the lock: then ours is a lock on nothing."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    return False
