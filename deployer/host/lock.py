"""The host's lock: held by whoever drives a transaction, for as long as it drives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
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


def holder(disk: Disk) -> Optional[int]:
    """The process that holds the lock, so that one that is frozen can be ended; None where nobody does, or it is not to be seen.

    The kernel lists locks by inode, which another file system's file may share: the process must have ours open.
    """
    path = str(disk.root) + LOCK
    try:
        inode, lines = os.stat(path).st_ino, Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for words in (line.split() for line in lines):
        is_lock = len(words) >= 6 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode)
        if is_lock and words[4].isdecimal() and _has_open(int(words[4]), path):
            return int(words[4])
    return None


def _has_open(process: int, path: str) -> bool:
    directory = f"/proc/{process}/fd"
    try:
        return any(os.readlink(f"{directory}/{name}") == os.path.realpath(path) for name in os.listdir(directory))
    except OSError:
        return False


def _is_still_there(path: str, descriptor: int) -> bool:
    """An uninstallation removes the file while it holds the lock: then ours is a lock on nothing."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    return False
