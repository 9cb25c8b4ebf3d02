"""Paths that no derivation is at hand for, from binary caches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from deployer.cli.store.naming import unknown
from deployer.errors import raise_all
from deployer.formats import StorePath
from deployer.store import Store

if TYPE_CHECKING:
    from deployer.build.substitution import Substituter


async def fetch(store: Store, paths: Iterable[StorePath], caches: Sequence[Substituter]) -> None:
    """Have paths and their closures valid, each from the first cache that has it. Raises `PathUnknown`."""
    left = list(paths)
    for cache in caches:
        if not left:
            return
        held = set(await cache.held(left))
        for path in left:
            if path in held:
                await cache.substitute(store, path)
        left = [path for path in left if path not in held]
    raise_all([unknown(store, path) for path in left])
