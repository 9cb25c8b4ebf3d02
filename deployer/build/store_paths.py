"""Store paths that nothing here can build: they come from binary caches, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from deployer.build.settings import BuildSettings
from deployer.errors import DeployerError, Place, raise_all
from deployer.formats import StorePath
from deployer.packages.errors import StorePathMissing
from deployer.store import Store


async def fetch_store_paths(
    store: Store, paths: Iterable[StorePath], settings: BuildSettings, *, place_of: Callable[[str], Place | None]
) -> None:
    """Make `paths`, and all that they refer to, valid. Raises `StorePathMissing` for each that no trusted cache has."""
    wanted = tuple(paths)
    store.keep(wanted)
    errors: list[DeployerError] = []
    for path in wanted:
        reason = "no cache is named"
        for cache in settings.substituters if not store.is_valid(path) else ():
            try:
                await cache.substitute(store, path)
                break
            except DeployerError as error:
                reason = error.message
        if not store.is_valid(path):
            errors.append(StorePathMissing(str(path), place_of(str(path)), reason))
    raise_all(errors)
