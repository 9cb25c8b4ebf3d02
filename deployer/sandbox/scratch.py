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


def clear_empty(path: Path) -> bool:
    """Remove the directory of a build that left nothing but its output, which was moved away; false where there is more.

    That is true of most, and costs less than to look.
    """
    try:
        for directory in (path / "build", path / "store", path):
            os.rmdir(directory)
    except OSError:
        return False
    return True


def clear(path: Path) -> None:
    """Remove what an attempt left behind, whatever its modes, and however deep."""
    remove(str(path))
