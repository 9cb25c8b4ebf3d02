"""Making a damaged path anew, from a binary cache or by building it again, while the store goes on calling it valid."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from deployer.errors import DeployerError
from deployer.formats import StorePath
from deployer.store import Store, trees
from deployer.store.closures import reached

if TYPE_CHECKING:
    from deployer.build import BuildSettings


class Repairer:
    """What `deployer.store.verify` calls for each damaged path."""

    def __init__(
        self, store: Store, make_settings: Callable[[], BuildSettings], on_trouble: Callable[[str, DeployerError], None]
    ) -> None:
        """`on_trouble` is told of a path, and why one way to bring it back was none."""
        self._store, self._make_settings, self._on_trouble = store, make_settings, on_trouble

    def __call__(self, path: str, place: str) -> bool:
        """Make the path at the place. Whether it is what was registered is for the caller to see."""
        import asyncio

        return asyncio.run(self._repair(StorePath.parse(path, self._store.store_dir), place))

    async def _repair(self, path: StorePath, place: str) -> bool:
        for way in (self._fetch, self._build):
            beside = place + "-store"
            try:
                if await way(path, Store(self._store.root / beside.lstrip("/"), self._store.store_dir), place):
                    return True
            except DeployerError as error:
                self._on_trouble(str(path), error)
            finally:
                trees.remove(beside)
        return False

    async def _fetch(self, path: StorePath, beside: Store, place: str) -> bool:
        from deployer.cli.building import closing_caches

        with closing_caches(self._make_settings()) as settings:
            for cache in settings.substituters:
                if path in await cache.held([path]):
                    self._pretend(beside, self._store.query(path).references, but_not=str(path))
                    await cache.substitute(beside, path)
                    return _take(beside, path, place)
        return False

    async def _build(self, path: StorePath, beside: Store, place: str) -> bool:
        from deployer.build import realise
        from deployer.build.graph import read_derivation
        from deployer.cli.building import closing_caches

        deriver = self._store.query(path).deriver
        if not deriver or not self._store.is_valid(deriver):
            return False
        inputs = [deriver]
        for needed, names in read_derivation(self._store, deriver).input_derivations.items():
            outputs = read_derivation(self._store, needed).outputs
            inputs += self._store.valid(outputs[name].path for name in names)
        self._pretend(beside, inputs)
        with closing_caches(self._make_settings()) as settings:
            await realise(beside, [StorePath.parse(deriver, beside.store_dir)], settings=settings)
        return _take(beside, path, place)

    def _pretend(self, beside: Store, paths: Iterable[str], *, but_not: str = "") -> None:
        """Have a store that holds the closure of some paths by links."""
        there = reached((path for path in paths if path != but_not), lambda path: self._store.query(path).references)
        beside.database.register([self._store.query(path) for path in there])
        for path in there:
            os.symlink(self._store.physical(path).absolute(), beside.physical(path))


def _take(beside: Store, path: StorePath, place: str) -> bool:
    made = beside.physical(path)
    if not os.path.lexists(made):
        return False
    is_directory = made.is_dir() and not made.is_symlink()
    if is_directory:
        made.chmod(0o755)  # its entry `..` changes with it
    os.rename(made, place)
    return True
