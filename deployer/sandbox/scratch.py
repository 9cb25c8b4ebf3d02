"""The directory of one build, and how it goes away whatever was left in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from deployer.store import Store
from deployer.store.owners import owned
from deployer.store.trees import remove


def scratch_directory(store: Store) -> Path:
    """A new directory on the store's file system, that only we can enter."""
    parent = store.temporary_directory
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=owned("build-"), dir=parent))


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
        for name in os.listdir(path / "store"):
            _remove_empty(path / "store" / name)
        for directory in (path / "build", path / "store", path):
            os.rmdir(directory)
    except OSError:
        return False
    return True


def _remove_empty(place: Path) -> None:
    """Also a file is one."""
    try:
        os.rmdir(place)
    except NotADirectoryError:
        os.unlink(place)
