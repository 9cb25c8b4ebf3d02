"""The directory of one build, and how it goes away whatever was left in it."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deployer.store import Store


def scratch_directory(store: Store) -> Path:
    """A new directory on the store's file system, that only we can enter."""
    parent = store.temporary_directory
    parent.mkdir(parents=True, exist_ok=True)
    # By its process's number the collector knows when it is nobody's any more.
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-build-", dir=parent))


def keep(build_directory: Path, name: str) -> Path:
    """Move the build directory of a failed build to where a person can look at it, and the collector does not."""
    kept = Path(tempfile.mkdtemp(prefix=f"deployer-build-{name}-"))
    kept.rmdir()
    return Path(shutil.move(build_directory, kept))


def clear(path: Path) -> None:
    """Remove what an attempt left behind, whatever its modes, and however deep: a script may nest more than a path can name."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    path.chmod(0o700)
    numbers = itertools.count()
    while names := os.listdir(path):
        for name in names:
            _flatten(path / name, path, numbers)
    path.rmdir()


def _flatten(entry: Path, top: Path, numbers: Iterator[int]) -> None:
    """Remove an entry; the directories in it come to the top first, so that no path grows."""
    if not stat.S_ISDIR(os.lstat(entry).st_mode):
        entry.unlink()
        return
    entry.chmod(0o700)
    for name in os.listdir(entry):
        child = entry / name
        if stat.S_ISDIR(os.lstat(child).st_mode):
            child.chmod(0o700)
            child.rename(_free(top, numbers))
        else:
            child.unlink()
    entry.rmdir()


def _free(top: Path, numbers: Iterator[int]) -> Path:
    return next(place for number in numbers if not os.path.lexists(place := top / f".{number}"))
