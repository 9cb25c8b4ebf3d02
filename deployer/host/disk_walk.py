"""The way to a path of the host's disk.

Paths are logical and absolute (`/etc/motd`). Each is walked from the root one component at a time by directory descriptor;
a component that is a link, or that somebody other than root may write, is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final, Iterator, Tuple

from deployer.errors import DeploymentError
from deployer.host.paths import STATE_DIRECTORY

DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STATE_PARENT: Final = STATE_DIRECTORY.rsplit("/", 1)[0]


class PathRefused(DeploymentError):
    """A path on the host that we do not follow."""

    path: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"{self.path} is not safe to write through: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Declare the real path, or give the directory to root and make it writable by root alone."


class Walk:
    """From one root, which may be a directory of its own in tests."""

    def __init__(self, root: Path) -> None:
        """Besides root, whoever runs this is trusted."""
        self._root = root
        self._trusted = {0, os.geteuid()}

    @contextlib.contextmanager
    def parent(self, path: str) -> Iterator[Tuple[int, str]]:
        """The directory above a path, open, and the name in it. Raises `PathRefused`, and `OSError` where there is none."""
        above, _, name = path.rpartition("/")
        if not name or name in (".", ".."):
            raise PathRefused(path, "it has no name")
        with self.directory(above or "/") as directory:
            yield directory, name

    @contextlib.contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """A directory, open. Raises as `parent` does."""
        descriptor, rest = self._start(path)
        try:
            for part in [part for part in rest.split("/") if part]:
                if part == "..":
                    raise PathRefused(path, "it goes upwards")
                try:
                    child = os.open(part, DIRECTORY_FLAGS, dir_fd=descriptor)
                except OSError as error:
                    if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and _is_link(part, descriptor)):
                        raise PathRefused(path, f"'{part}' in it is a link") from None
                    raise
                os.close(descriptor)
                descriptor = child
                self._check_trust(path, part, os.fstat(descriptor))
            yield descriptor
        finally:
            os.close(descriptor)

    def _start(self, path: str) -> Tuple[int, str]:
        """Where the walk begins: an administrator may have moved /var or /var/lib elsewhere by a link."""
        below = path == STATE_DIRECTORY or path.startswith(STATE_DIRECTORY + "/")
        base = _STATE_PARENT if below else ""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return os.open(str(self._root) + base, flags), path[len(base) :]

    def _check_trust(self, path: str, part: str, status: os.stat_result) -> None:
        if status.st_uid not in self._trusted:
            raise PathRefused(path, f"'{part}' in it belongs to user {status.st_uid}")
        if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != 0):
            raise PathRefused(path, f"'{part}' in it is writable by others")


def _is_link(name: str, directory: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode)
    except OSError:
        return False
