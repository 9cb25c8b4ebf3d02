"""Whether a store holds what it says, and bringing back what it does not."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Optional, Set, Tuple

from deployer.formats.hashes import Hash
from deployer.store import trees
from deployer.store.batch import put
from deployer.store.layout import sync_directory, sync_file_system
from deployer.store.locks import held
from deployer.store.store import Store

Repair = Callable[[str, str], bool]
"""Makes a path (the first) anew at a place (the second) on the store's file system, and says whether it could."""


@dataclass(frozen=True)
class Damage:
    """A valid path that is not what was registered."""

    path: str
    registered: str
    found: str
    """The hash of what is there; empty: nothing."""
    repaired: bool = False
    dropped: bool = False
    """Whether it is not valid any more: it was gone, and nothing that is there refers to it."""


def verify(store: Store, *, contents: bool = True, repair: Optional[Repair] = None) -> Tuple[Damage, ...]:
    """Every valid path that is gone or, with `contents`, has changed. With `repair`, these are brought back, or dropped.

    With `contents`, files that are linked by a hash that is not theirs are linked no more, so that no path gets them.
    """
    if contents:
        _check_links(store)
    damages: List[Damage] = []
    for path in store.database.all_paths():
        info = store.database.query(path)
        if info is not None:
            found = _found(store, path, info.nar_hash, contents=contents)
            if found != info.nar_hash and store.is_valid(path):
                damages.append(Damage(path, info.nar_hash, found))
    if repair is None:
        return tuple(damages)
    damages = [_mend(store, damage, repair) for damage in damages]
    dropped = _droppable(store, {damage.path for damage in damages if not damage.found and not damage.repaired})
    store.database.invalidate(dropped)
    return tuple(replace(damage, dropped=damage.path in dropped) for damage in damages)


def _found(store: Store, path: str, registered: str, *, contents: bool) -> str:
    place = str(store.physical(path))
    try:
        os.lstat(place)
        return Hash("sha256", trees.nar_hash(place)[0]).base32 if contents else registered
    except FileNotFoundError:
        return ""


def _mend(store: Store, damage: Damage, repair: Repair) -> Damage:
    with store.batch() as batch:
        aside = batch.place()
    try:
        if repair(damage.path, aside) and os.path.lexists(aside):
            trees.canonicalise(aside)
            if Hash("sha256", trees.nar_hash(aside)[0]).base32 == damage.registered:
                sync_file_system(store.layout.store)
                with held(store.layout.state / "gc.lock", exclusive=False):
                    put(store.layout, aside, store.query(damage.path))
                    sync_directory(store.layout.store)
                return replace(damage, repaired=True)
    finally:
        trees.remove(aside)
    return damage


def _droppable(store: Store, gone: Set[str]) -> Set[str]:
    """Of the paths that are gone, those to which nothing that is there leads."""
    referrers: Dict[str, Set[str]] = {path: set(store.referrers(path)) for path in gone}
    needed = {path for path in gone if referrers[path] - gone}
    while True:
        more = {path for path in gone - needed if referrers[path] & needed}
        if not more:
            return gone - needed
        needed |= more


def _check_links(store: Store) -> None:
    if not store.layout.links.is_dir():
        return
    for name in os.listdir(store.layout.links):
        link = str(store.layout.links / name)
        with contextlib.suppress(FileNotFoundError):
            for file, size, executable in trees.regular_files(link):
                if trees.file_hash(file, executable=executable, size=size) != name:
                    os.unlink(file)
