"""Equal files stored once, also those that came into the store otherwise than through us."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from deployer.store import trees
from deployer.store.batch import MAX_LINKS, replace_by_link
from deployer.store.locks import held
from deployer.store.store import Store


@dataclass(frozen=True)
class Optimised:
    """What was saved."""

    files: int
    bytes: int


def optimise(store: Store) -> Optimised:
    """Link every file of every valid path to the one of the same content. Builds, copies and readers may go on."""
    files = saved = 0
    with store.batch() as batch:
        for path in store.database.all_paths():
            # The collector waits for one path at a time, and not for all.
            with held(store.layout.state / "gc.lock", exclusive=False):
                place = str(store.physical(path))
                if not (store.is_valid(path) and os.path.lexists(place)):
                    continue
                for file, size, executable in list(trees.regular_files(place)):
                    if size and _link(store, file, size, trees.file_hash(file, executable=executable, size=size), batch.place()):
                        files, saved = files + 1, saved + size
    return Optimised(files, saved)


def _link(store: Store, file: str, size: int, name: str, temporary: str) -> bool:
    """Whether the file takes no more room now."""
    link, status = store.layout.links / name, os.lstat(file)
    try:
        known = os.lstat(link)
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            os.link(file, link, follow_symlinks=False)
        return False
    if known.st_ino == status.st_ino:
        return False
    if known.st_size != size or known.st_nlink >= MAX_LINKS:
        # It is damaged, or full: from here on, this one is what others are linked to.
        replace_by_link(file, str(link), temporary)
        return False
    replace_by_link(str(link), file, temporary)
    return os.lstat(file).st_ino == known.st_ino
