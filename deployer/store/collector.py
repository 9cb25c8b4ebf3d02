"""The collector: removes what no root leads to, while builds, copies and services go on."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Collection, Dict, Final, Iterable, List, Optional, Set, Tuple

from deployer.formats.storepath import StorePath, StorePathRefused
from deployer.store import trees
from deployer.store.batch import rename
from deployer.store.closures import in_order, reached
from deployer.store.errors import PathAlive
from deployer.store.locks import held, temporary_roots
from deployer.store.owners import has_owner, is_abandoned
from deployer.store.processes import in_use
from deployer.store.store import AnyPath, Store, roots_of

_ABANDONED: Final = 24 * 3600.0
"""Seconds after which something in `.making` that no living process owns by name is swept."""


@dataclass(frozen=True)
class Collected:
    """What was removed, or would be."""

    paths: Tuple[str, ...]
    bytes: int
    """Of their NARs; less is freed where files are shared."""


def collect(
    store: Store,
    *,
    keep: Iterable[str] = (),
    dry_run: bool = False,
    max_freed: Optional[int] = None,
    without: Collection[str] = (),
) -> Collected:
    """Remove every path that neither a root, nor `keep`, nor a process leads to; stop once `max_freed` bytes are.

    `without` names roots that do not count, to ask what would go if they were not.
    """
    with held(store.layout.state / "gc.lock", exclusive=True):
        graph = store.database.graph()
        live = _live(store, graph, {*keep}, without)
        dead: List[str] = []
        size = 0
        # What refers to others goes before these: so it may end after any of them.
        for path in reversed(in_order((path for path in graph if path not in live), graph)):
            if max_freed is not None and size >= max_freed:
                break
            dead.append(path)
            size += store.query(path).nar_size
        gone: List[str] = []
        if not dry_run:
            gone = [*_take_away(store, dead), *_take_left(store, set(graph).difference(dead))]
    if not dry_run:
        _remove(store, gone)
    return Collected(tuple(sorted(dead)), size)


def delete(store: Store, paths: Iterable[AnyPath], *, dry_run: bool = False) -> Collected:
    """Remove these paths. Raises `PathAlive` where one is needed, `PathNotValid`; then none is removed."""
    with held(store.layout.state / "gc.lock", exclusive=True):
        graph = store.database.graph()
        wanted = {store.query(path).path for path in paths}
        live = _live(store, graph, set(), ())
        for path in sorted(wanted):
            users = sorted(set(store.referrers(path)) - wanted)
            if path in live or users:
                raise PathAlive(path, () if path in live else tuple(users))
        size = sum(store.query(path).nar_size for path in wanted)
        gone = [] if dry_run else _take_away(store, list(reversed(in_order(wanted, graph))))
    if not dry_run:
        _remove(store, gone)
    return Collected(tuple(sorted(wanted)), size)


def _live(store: Store, graph: Dict[str, Tuple[str, ...]], keep: Set[str], without: Collection[str]) -> Set[str]:
    roots = {path for name, path in roots_of(store).items() if name not in without}
    start = {*keep, *roots, *temporary_roots(store.layout.temporary_roots), *(path for _, path in in_use(store))}
    live: Set[str] = set()
    derivers = store.database.derivers()
    # With what stays, its derivation stays, as in Nix: so it can be built again where it is damaged or doubted.
    more = {path for path in start if path in graph}
    while more:
        found = set(reached(more, graph.__getitem__))
        live |= found
        more = {derivers[path] for path in found if derivers.get(path) in graph} - live
    return live


def _take_away(store: Store, dead: List[str]) -> List[str]:
    """Make paths invalid, and then move them aside. A crash in between leaves what the next collection sweeps."""
    store.database.invalidate(dead)
    return [] if store.layout.nix_database.exists() else _aside(store, [str(store.physical(path)) for path in dead])


def _take_left(store: Store, live: Set[str]) -> List[str]:
    """Move aside what crashes left: what was being made, and trees that were never registered."""
    left: List[str] = []
    for entry in _entries(store.layout.aside):
        if is_abandoned(entry.name) or (not has_owner(entry.name) and _is_old(entry.path)):
            left.append(entry.path)
    valid = {os.path.basename(path) for path in live}
    locked = {name[: -len(".lock")] for name in os.listdir(store.layout.locks)}
    for entry in [] if store.layout.nix_database.exists() else _entries(store.layout.store):
        if _is_store_name(entry.name) and entry.name not in valid and entry.name not in locked:
            left.append(entry.path)
    return _aside(store, left)


def _is_old(path: str) -> bool:
    try:
        return time.time() - os.lstat(path).st_ctime > _ABANDONED
    except FileNotFoundError:
        return False


def _aside(store: Store, places: List[str]) -> List[str]:
    """Move trees to names of this process, at which nobody else removes them, nor looks for them."""
    moved: List[str] = []
    with store.batch() as batch:
        for place in places:
            with contextlib.suppress(FileNotFoundError):
                aside = batch.place()
                rename(place, aside)
                moved.append(aside)
    return moved


def _remove(store: Store, gone: List[str]) -> None:
    """Free the space, for which nobody need wait; then drop contents that no path links to any more."""
    for place in gone:
        trees.remove(place)
    for entry in _entries(store.layout.links):
        with contextlib.suppress(FileNotFoundError):
            if entry.stat(follow_symlinks=False).st_nlink == 1:
                os.unlink(entry.path)


def _is_store_name(name: str) -> bool:
    """Whether it can be ours: a file system's `lost+found`, or an administrator's note, is not."""
    try:
        StorePath.parse_base(name)
    except StorePathRefused:
        return False
    return True


def _entries(directory: Path) -> List[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return list(entries)
