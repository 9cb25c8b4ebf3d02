"""`builtin:buildenv`: many trees seen as one, through symbolic links."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from deployer.build.source_errors import FilesCollide


def build_forest(sources: Iterable[Path], logical: Mapping[Path, str], destination: Path) -> None:
    """Make at `destination` a tree of links to the files of `sources`. Directories are merged; files that differ collide.

    `logical` tells the store path of each source.
    """
    owner: dict[str, tuple[str, Path]] = {}
    os.mkdir(destination)
    for source in sources:
        for directory, names, files in os.walk(source):
            relative = os.path.relpath(directory, source)
            for name in sorted([*files, *(name for name in names if Path(directory, name).is_symlink())]):
                place = os.path.normpath(os.path.join(relative, name))
                target, real = f"{logical[source]}/{place}", Path(directory, name)
                if place in owner:
                    if not _same(owner[place][1], real):
                        raise FilesCollide(place, owner[place][0], target)
                    continue
                owner[place] = (target, real)
                parent = destination / os.path.dirname(place)
                try:
                    parent.mkdir(parents=True, exist_ok=True)
                    (destination / place).symlink_to(target)
                except (FileExistsError, NotADirectoryError):
                    other = next(
                        known
                        for name, (known, _) in owner.items()
                        if name.startswith(f"{place}/") or place.startswith(f"{name}/")
                    )
                    raise FilesCollide(place, other, target) from None


def _same(first: Path, second: Path) -> bool:
    if first.is_symlink() or second.is_symlink():
        return first.is_symlink() and second.is_symlink() and os.readlink(first) == os.readlink(second)
    return (first.stat().st_mode & 0o100) == (second.stat().st_mode & 0o100) and first.read_bytes() == second.read_bytes()
