"""Roots with a past: for each name, numbered links to what it was given one after another, as Nix's profiles have them."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import Dict, Final, Iterable, List, Mapping, Tuple

from deployer.store.locks import held
from deployer.store.store import AnyPath, Store

HOST: Final = "host-"
"""What the names of hosts' systems begin with."""
_LINK: Final = re.compile(r"(.+)-([1-9][0-9]{0,17})-link")


@dataclass(frozen=True)
class Generation:
    """One link."""

    name: str
    number: int
    path: str
    made: float
    """Seconds since 1970."""

    @property
    def root(self) -> str:
        """The root's name in the store."""
        return f"{self.name}-{self.number}-link"


def generations(store: Store) -> Tuple[Generation, ...]:
    """All, by name and number."""
    found = []
    for link in store.layout.roots.iterdir() if store.layout.roots.is_dir() else ():
        match = _LINK.fullmatch(link.name)
        if match:
            with contextlib.suppress(OSError):  # gone meanwhile, or no link
                found.append(Generation(match[1], int(match[2]), os.readlink(link), link.lstat().st_mtime))
    return tuple(sorted(found, key=lambda one: (one.name, one.number)))


def add_generations(store: Store, paths: Mapping[str, AnyPath]) -> None:
    """Keep paths as the newest of their names. Where one is that already, nothing is made for it."""
    _ = store.database
    with held(store.layout.state / "generations.lock", exclusive=True):
        newest = {one.name: one for one in generations(store)}
        for name, path in paths.items():
            before = newest.get(name)
            if before is None or before.path != str(path):
                store.add_root(f"{name}-{before.number + 1 if before else 1}-link", path)


def outdated(known: Iterable[Generation], before: float) -> Tuple[Generation, ...]:
    """Those that nobody used any more at the time `before`: all but the newest, and the one that was the newest then."""
    found = []
    by_name: Dict[str, List[Generation]] = {}
    for one in known:
        by_name.setdefault(one.name, []).append(one)
    for of_name in by_name.values():
        was_newest_seen = False
        for one in sorted(of_name, key=lambda one: one.number, reverse=True):
            if was_newest_seen:
                found.append(one)
            was_newest_seen = was_newest_seen or one.made < before
    return tuple(sorted(found, key=lambda one: (one.name, one.number)))


def forget(store: Store, old: Iterable[Generation]) -> None:
    """Remove generations; the collector takes what only they kept."""
    for one in old:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(store.layout.roots / one.root)
