"""Several caches as one: the first that has a path gives it, the next where that fails; and a store is filled with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from deployer.cache.binary_cache import BinaryCache
from deployer.cache.errors import CacheCorrupt, CacheUnusable, PathNotCached
from deployer.cache.filling import Filling
from deployer.errors import DeployerError
from deployer.formats import StorePath
from deployer.formats.narinfo import NarInfo
from deployer.store import Batch, Store

_RESTS: Final = 60.0
"""Seconds for which a cache that could not be reached is left alone."""

OnTrouble = Callable[[DeployerError], None]
OnFetched = Callable[[str, StorePath, int], None]
"""Takes the cache, the path, and its NAR's size."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A path that a cache has."""

    cache: BinaryCache
    info: NarInfo
    on_fetched: OnFetched

    @property
    def url(self) -> str:
        """The cache."""
        return self.cache.url

    @property
    def references(self) -> Sequence[StorePath]:
        """What the path refers to."""
        return self.info.references

    def unpack(self, batch: Batch, stopped: Callable[[], bool]) -> None:
        """Fetch it."""
        self.cache.unpack(self.info, batch, stopped=stopped)
        self.on_fetched(self.cache.url, self.info.path, self.info.nar_size)


class Caches:
    """A substituter (`deployer.build.substitution`) of any number of caches, asked in the order of their priorities."""

    def __init__(
        self,
        caches: Iterable[BinaryCache],
        *,
        on_trouble: OnTrouble = lambda error: None,
        on_fetched: OnFetched = lambda url, path, size: None,
    ) -> None:
        """`on_trouble` is told of each cache and path that could not be used; `on_fetched` is called in any thread."""
        self._caches = tuple(caches)
        self._on_trouble, self._on_fetched = on_trouble, on_fetched
        self._rests: dict[BinaryCache, float] = {}
        self._fillings: dict[Store, Filling] = {}

    @property
    def urls(self) -> tuple[str, ...]:
        """The caches, as they were named."""
        return tuple(cache.url for cache in self._caches)

    async def query(self, path: StorePath) -> NarInfo | None:
        """What the first cache that has a path, and may be trusted for it, says of it. Raises where no cache answered."""
        found = await self._find([path], strict=True)
        return found[path].info if path in found else None

    async def held(self, paths: Collection[StorePath]) -> Collection[StorePath]:
        """Those that can be had, with all that they refer to."""
        found = await self._closure(paths)
        whole: dict[StorePath, bool] = {}
        for path in _ordered(found):
            needed = [one for one in found[path].references if one != path]
            whole[path] = all(whole.get(one, False) for one in needed)
        return [path for path in paths if whole.get(path)]

    async def substitute(self, store: Store, path: StorePath) -> None:
        """Register a path and its closure, but for what is valid already.

        Raises `PathNotCached`, or what the last cache that has it failed with: `CacheCorrupt`, `CacheUnusable`, `PathNotTrusted`.
        """
        found = await self._closure([path], store, strict=True)
        if await asyncio.to_thread(store.is_valid, path):
            return
        order = {one: found[one].references for one in _ordered(found)}
        if (filling := self._fillings.get(store)) is None:
            filling = self._fillings[store] = Filling(store, self._sources, self._on_trouble)
        try:
            await filling.fill({path: (), **order} if path not in order else order, path)
        finally:
            if filling.is_idle and self._fillings.get(store) is filling:
                del self._fillings[store]
                filling.close()

    def close(self) -> None:
        """Let go of all connections."""
        for cache in self._caches:
            cache.close()

    async def _closure(
        self, paths: Collection[StorePath], store: Store | None = None, *, strict: bool = False
    ) -> dict[StorePath, Offer]:
        """The offers of paths and all that they refer to, going no further below what the store has."""
        found: dict[StorePath, Offer] = {}
        todo, seen = set(paths), set(paths)
        while todo:
            if store is not None:
                await asyncio.to_thread(store.keep, todo)
                valid = await asyncio.to_thread(store.valid, todo)
                todo = {path for path in todo if str(path) not in valid}
            some = await self._find(todo, strict=strict)
            found.update(some)
            todo = {reference for offer in some.values() for reference in offer.references} - seen
            seen |= todo
        return found

    async def _find(self, paths: Collection[StorePath], *, strict: bool = False) -> dict[StorePath, Offer]:
        """The best offer of each path. With `strict`, raises where something is not found and a cache did not answer."""
        found: dict[StorePath, Offer] = {}
        troubles: list[DeployerError] = []
        for cache in await self._in_order(troubles):
            if not (left := [path for path in paths if path not in found]):
                break
            try:
                infos = await cache.query_all(left)
            except DeployerError as error:
                self._set_aside(cache, error, troubles)
                continue
            found.update({path: self._offer(cache, info) for path, info in infos.items() if info and cache.accepts(info)})
        if strict and troubles and len(found) < len(paths):
            raise troubles[-1]
        return found

    async def _sources(self, path: StorePath) -> AsyncGenerator[Offer, None]:
        """All offers of a path, the best first, and last those that are not to be trusted, so that it can be said why."""
        offers = 0
        untrusted: list[Offer] = []
        troubles: list[DeployerError] = []
        for cache in await self._in_order(troubles):
            try:
                info = await cache.query(path)
            except DeployerError as error:
                self._set_aside(cache, error, troubles)
                continue
            if info is not None and cache.accepts(info):
                offers += 1
                yield self._offer(cache, info)
            elif info is not None:
                untrusted.append(self._offer(cache, info))
        for offer in untrusted:
            yield offer
        if not (offers or untrusted):
            raise troubles[-1] if troubles else PathNotCached(str(path), self.urls)

    async def _in_order(self, troubles: list[DeployerError]) -> list[BinaryCache]:
        """The caches that answer, by priority, and then as they were named."""

        async def priority(cache: BinaryCache) -> int | None:
            try:
                return await cache.priority()
            except DeployerError as error:
                self._set_aside(cache, error, troubles)
                return None

        able = [cache for cache in self._caches if self._rests.get(cache, 0.0) <= time.monotonic()]
        ranks = await asyncio.gather(*map(priority, able))
        ranked = [(rank, at) for at, rank in enumerate(ranks) if rank is not None]
        return [able[at] for _, at in sorted(ranked)]

    def _offer(self, cache: BinaryCache, info: NarInfo) -> Offer:
        return Offer(cache, info, self._on_fetched)

    def _set_aside(self, cache: BinaryCache, error: DeployerError, troubles: list[DeployerError]) -> None:
        """Go on without a cache; one of several that can't be reached is not asked again for a while."""
        troubles.append(error)
        if isinstance(error, CacheUnusable) and len(self._caches) > 1:
            self._rests[cache] = time.monotonic() + _RESTS
        self._on_trouble(error)


def _ordered(found: dict[StorePath, Offer]) -> list[StorePath]:
    """References first. Raises `CacheCorrupt` where paths refer to each other in a circle."""
    order: dict[StorePath, None] = {}
    open_paths: set[StorePath] = set()
    for top in found:
        todo = [(top, False)]
        while todo:
            path, done = todo.pop()
            if done:
                open_paths.discard(path)
                order[path] = None
            elif path in open_paths:
                raise CacheCorrupt(found[path].url, str(path), "it refers to something that refers to it")
            elif path not in order:
                open_paths.add(path)
                todo.append((path, True))
                todo += [(one, False) for one in found[path].references if one in found and one != path]
    return list(order)
