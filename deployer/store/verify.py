"""Whether a store holds what it says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Tuple

from deployer.formats.hashes import Hash
from deployer.store import trees
from deployer.store.store import Store


@dataclass(frozen=True)
class Damage:
    """A valid path that is not what was registered."""

    path: str
    registered: str
    found: str
    """The hash of what is there; empty: nothing."""


def verify(store: Store, *, contents: bool = True) -> Tuple[Damage, ...]:
    """Every valid path that is gone or, with `contents`, has changed."""
    damages = []
    for path in store.database.all_paths():
        info, place = store.query(path), str(store.physical(path))
        found = ""
        if os.path.lexists(place):
            found = Hash("sha256", trees.nar_hash(place)[0]).base32 if contents else info.nar_hash
        if found != info.nar_hash:
            damages.append(Damage(path, info.nar_hash, found))
    return tuple(damages)
