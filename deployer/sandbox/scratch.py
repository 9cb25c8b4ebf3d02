"""The directory of one build, and how it goes away whatever was left in it."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import tempfile
from pathlib import Path
from typing import AbstractSet, Dict, Final, List, Tuple

from deployer.store import Store
from deployer.store.owners import owned
from deployer.store.trees import remove

_BUILD, _STORE = "build", "store"
_MODES: Final = {_BUILD: 0o700, _STORE: 0o1775}
_GET_FLAGS: Final = 0x80006601 | struct.calcsize("l") << 16
"""FS_IOC_GETFLAGS of ioctl_iflags(2)."""


def scratch_directory(store: Store) -> Path:
    """A new directory on the store's file system, that only we can enter."""
    parent = store.temporary_directory
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=owned("build-"), dir=parent))


def build_directory(scratch: Path) -> Path:
    """What the script sees as /build."""
    return scratch / _BUILD


def scratch_store(scratch: Path) -> Path:
    """Where the script makes its outputs."""
    return scratch / _STORE


def furnish(scratch: Path) -> None:
    """Make both, for a build to begin in."""
    for name, mode in _MODES.items():
        place = scratch / name
        place.mkdir()
        place.chmod(mode)


class ScratchDirectories:
    """Those of the builds of one run.

    To make directories and to remove them is most of what the disk has to do for a short build. So one that a build left as it
    had found it goes to the next, with the places where inputs were shown: most of the next one's are the same.
    """

    def __init__(self) -> None:
        """None is made yet."""
        self._flags: Dict[Path, Tuple[bytes, ...]] = {}
        """Of new ones."""
        self._free: Dict[Path, List[Path]] = {}

    def take(self, store: Store) -> Path:
        """One that is furnished for a build, but for the places of inputs (`clear_places`)."""
        free = self._free.get(store.root)
        if free:
            return free.pop()
        scratch = scratch_directory(store)
        furnish(scratch)
        self._flags[scratch] = _flags(scratch)
        return scratch

    def give_back(self, store: Store, scratch: Path, inputs: AbstractSet[str]) -> bool:
        """Keep one for the next build. False where it is not as it was, so that it is left to be cleared.

        `inputs`: the names of what the last one saw of the store.
        """
        is_as_new = self._renew(scratch, inputs)
        if is_as_new:
            self._free.setdefault(store.root, []).append(scratch)
        return is_as_new

    def close(self) -> None:
        """Remove those that nobody has."""
        for free in self._free.values():
            while free:
                clear(free.pop())

    def _renew(self, scratch: Path, inputs: AbstractSet[str]) -> bool:
        try:
            if {*os.listdir(scratch)} != {*_MODES} or os.listdir(scratch / _BUILD) or _flags(scratch) != self._flags[scratch]:
                return False
            for entry in os.scandir(scratch / _STORE):
                if entry.name not in inputs:
                    return False
                if entry.is_symlink():  # All others were hidden below what was shown there; this the builder could replace.
                    os.unlink(entry)
            for name, mode in _MODES.items():
                os.chmod(scratch / name, mode)
                os.utime(scratch / name)
        except OSError:
            return False
        return True


def keep(build_directory: Path, name: str) -> Path:
    """Move the build directory of a failed build to where a person can look at it, and the collector does not."""
    return Path(shutil.move(str(build_directory), tempfile.mkdtemp(prefix=f"deployer-build-{name}-")))


def clear(path: Path) -> None:
    """Remove what an attempt left behind, whatever its modes, and however deep."""
    if not _clear_empty(path):
        remove(str(path))


def _clear_empty(path: Path) -> bool:
    """Most builds leave nothing but the places where their inputs were shown, and this costs less than to look for more."""
    try:
        clear_places(path)
        for directory in (path / _BUILD, path / _STORE, path):
            os.rmdir(directory)
    except OSError:
        return False
    return True


def clear_places(scratch: Path, kept: AbstractSet[str] = frozenset()) -> None:
    """Remove the places where inputs were shown, but for those of the names in `kept`. Raises `OSError` where there is more."""
    for name in os.listdir(scratch / _STORE):
        if name not in kept:
            _remove_empty(scratch / _STORE / name)


def _remove_empty(place: Path) -> None:
    """Also a file is one."""
    try:
        os.rmdir(place)
    except NotADirectoryError:
        os.unlink(place)


def _flags(scratch: Path) -> Tuple[bytes, ...]:
    """What a builder may change of its directories beside what is simply set again: such as that case is ignored in them."""
    return tuple(_flags_of(scratch / name) for name in _MODES)


def _flags_of(directory: Path) -> bytes:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(descriptor, _GET_FLAGS, bytes(4))
    except OSError:
        return b""  # This file system has none.
    finally:
        os.close(descriptor)
