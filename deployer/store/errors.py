"""What can go wrong with a store on a disk."""

from __future__ import annotations

import errno
from typing import Tuple

from deployer.errors import DeploymentError


class StoreError(DeploymentError):
    """A store could not do what was asked; what was valid before is valid still."""


class PathCorrupt(StoreError):
    """What arrived for a path is not what was announced."""

    path: str
    expected: str
    found: str

    @property
    def message(self) -> str:
        """Both hashes."""
        return f"{self.path} is corrupt: its hash is {self.found}, and should be {self.expected}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Nothing was registered. Try again; if it happens again, suspect the network or the disk."


class PathDamaged(StoreError):
    """A valid path is not what was registered."""

    path: str
    expected: str
    found: str

    @property
    def message(self) -> str:
        """Both hashes."""
        return f"{self.path} is damaged here: its hash is {self.found}, and should be {self.expected}"

    @property
    def remedy(self) -> str:
        """How to mend it."""
        return "Bring it back with `deployer store verify --check-contents --repair`."


class ReferenceInvalid(StoreError):
    """A path refers to another that is not in the store."""

    path: str
    reference: str

    @property
    def message(self) -> str:
        """Both."""
        return f"{self.path} refers to {self.reference}, which is not valid here"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Bring the paths that it refers to first."


class PathNotValid(StoreError):
    """A path is asked for that is not in the store."""

    path: str

    @property
    def message(self) -> str:
        """Which."""
        return f"{self.path} is not in the store"


class PathAlive(StoreError):
    """A path was to be deleted that something needs."""

    path: str
    referrers: Tuple[str, ...] = ()
    """What refers to it; empty: a root or a process leads to it."""

    @property
    def message(self) -> str:
        """Which, and what needs it."""
        if self.referrers:
            return f"cannot delete {self.path}, because {', '.join(self.referrers)} refers to it"
        return f"cannot delete {self.path}, because it is still alive"

    @property
    def remedy(self) -> str:
        """How to find out more."""
        if self.referrers:
            return "Delete these as well, or leave it to the collector."
        return "See what keeps it with `deployer store query --roots`; a running process may, too."


class PathOccupied(StoreError):
    """A path is to be made that a real Nix of this machine has with other content."""

    path: str
    theirs: str
    ours: str

    @property
    def message(self) -> str:
        """Both hashes."""
        return f"{self.path} is valid in this machine's Nix with the hash {self.theirs}; ours has {self.ours}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Nothing was replaced. Two builds of it differ: take Nix's, or remove it there with `nix-store --delete`."


class FileRefused(StoreError):
    """Something stands in a tree that has no place in a store."""

    path: str
    reason: str

    @property
    def message(self) -> str:
        """What."""
        return f"{self.path} can't be put into the store: {self.reason}"

    @property
    def remedy(self) -> str:
        """What may stand there."""
        return "Only regular files, directories and symbolic links may stand in a store."


class StoreFull(StoreError):
    """The disk, or a quota, has no room."""

    path: str
    reason: str

    @property
    def message(self) -> str:
        """Where, and of what."""
        return f"there is no room for {self.path}: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Nothing was changed. Free space or inodes on the file system of /nix/store, and try again."


class StoreUnusable(StoreError):
    """The store can't be read or written."""

    path: str
    reason: str

    @property
    def message(self) -> str:
        """Where, and why."""
        return f"the store at {self.path} can't be used: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to look at."""
        return (
            "See whose it is, and on which disk. On a controller, --store-root names another: each user needs one of their own."
        )


FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the kernel says of a disk without room."""


def translate(error: OSError, path: str) -> StoreError:
    """The store's error for one of the kernel's."""
    reason = error.strerror or str(error)
    return StoreFull(path, reason) if error.errno in FULL else StoreUnusable(error.filename or path, reason)
