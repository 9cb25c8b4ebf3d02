"""Where the parts of a store lie."""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

STATE = "nix/var/deployer"
_HERE = -100
_EXCHANGE = 2
"""`AT_FDCWD` and `RENAME_EXCHANGE`."""


@dataclass(frozen=True)
class Layout:
    """The directories of a store whose logical directory may lie elsewhere on this machine."""

    root: Path
    store_dir: str

    @cached_property
    def store(self) -> Path:
        """Where the paths lie."""
        return self.root / self.store_dir.lstrip("/")

    @cached_property
    def links(self) -> Path:
        """Every file's content once, by hash; files of paths are hard links to these."""
        return self.store / ".links"

    @cached_property
    def aside(self) -> Path:
        """Where things are made before they are whole, on the same file system as the store."""
        return self.store / ".making"

    @cached_property
    def state(self) -> Path:
        """All that is not paths."""
        return self.root / STATE

    @cached_property
    def database(self) -> Path:
        """The registration."""
        return self.state / "db.sqlite"

    @cached_property
    def nix_database(self) -> Path:
        """Where this is, the store is a real Nix's too: what we don't know may be valid there, and is never swept."""
        return self.root / "nix/var/nix/db"

    @cached_property
    def roots(self) -> Path:
        """Links to what must stay."""
        return self.state / "gcroots"

    @cached_property
    def temporary_roots(self) -> Path:
        """One file a process, with paths that must stay as long as it lives."""
        return self.state / "temproots"

    @cached_property
    def locks(self) -> Path:
        """Lock files of paths that are being made."""
        return self.state / "locks"

    @cached_property
    def logs(self) -> Path:
        """Builds' logs."""
        return self.state / "log"

    def make(self) -> None:
        """Make what is missing."""
        for directory in (self.links, self.aside, self.roots, self.temporary_roots, self.locks, self.logs):
            directory.mkdir(parents=True, exist_ok=True, mode=0o755)


def sync_file_system(directory: Path) -> None:
    """Have all that was written to the file system of `directory` on the disk (syncfs(2)). Raises `OSError`."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if library.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Have a directory's entries on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(one: str, other: str) -> None:
    """Swap two names of a file system, at one instant (renameat2(2)). Raises `OSError` where it, or the system, can't."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), one)
    if library.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), one)
