"""One binary cache: what it says of paths, whether that is trusted, and its archives unpacked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from deployer.cache.archives import nar_reader
from deployer.cache.contents import ContentCheck, content_makes_name
from deployer.cache.errors import CacheCorrupt, CacheUnusable, PathNotTrusted
from deployer.cache.location import Location
from deployer.cache.memory import Memory
from deployer.cache.transports import Transport
from deployer.cache.trust import Trust
from deployer.formats import STORE_DIR, NarRefused, StorePath
from deployer.formats.narinfo import NarInfo, NarInfoRefused
from deployer.formats.pathstream import PathHeader
from deployer.store import Batch, PathCorrupt

_AT_ONCE: Final = 24
"""Questions under way at the same time."""
_AT_ONCE_UNWANTED: Final = 4
"""The same, to a cache that does not want to be asked for many paths."""
_DEFAULT_PRIORITY: Final = 50
_SETTINGS: Final = "nix-cache-info"
_Result = TypeVar("_Result")


class BinaryCache:
    """One cache, read only. Fills stores whose logical directory is `store_dir`. Answers are asked for once."""

    def __init__(
        self, location: Location, transport: Transport, *, trust: Trust, store_dir: str = STORE_DIR, memory: Memory | None = None
    ) -> None:
        """Use `open_cache`. Nothing is asked yet."""
        self.url = transport.url
        self._location, self._transport, self._trust, self._store_dir = location, transport, trust, store_dir
        self._memory = memory if transport.is_remote else None
        self._answers: dict[str, Future[NarInfo | None]] = {}
        self._starting: Future[Mapping[str, str]] | None = None
        self._asking = threading.Lock()
        self._threads = ThreadPoolExecutor(_AT_ONCE, "deployer-cache")

    async def priority(self) -> int:
        """Lower is asked first: what the address says, or else the cache. Raises `CacheUnusable`."""
        if self._location.priority is not None:
            return self._location.priority
        text = (await self._settings()).get("Priority", "")
        return int(text) if text.isdecimal() else _DEFAULT_PRIORITY

    async def wants_mass_query(self) -> bool:
        """Whether it wants to be asked for many paths at once. Raises `CacheUnusable`."""
        if self._location.want_mass_query is not None:
            return self._location.want_mass_query
        return (await self._settings()).get("WantMassQuery", "") == "1"

    async def query(self, path: StorePath) -> NarInfo | None:
        """What the cache says of a path; None where it does not have it. Raises `CacheUnusable`, `CacheCorrupt`."""
        await self._settings()
        info = await self._answer(path)
        if info is not None and info.path != path:
            raise CacheCorrupt(self.url, str(path), f"it is about {info.path}")
        return info

    async def query_all(self, paths: Iterable[StorePath]) -> dict[StorePath, NarInfo | None]:
        """The same of many paths, as many at once as the cache wants."""
        asked = sorted(set(paths))
        if len(asked) > _AT_ONCE_UNWANTED and not await self.wants_mass_query():
            found: dict[StorePath, NarInfo | None] = {}
            for at in range(0, len(asked), _AT_ONCE_UNWANTED):
                some = asked[at : at + _AT_ONCE_UNWANTED]
                found.update(zip(some, await asyncio.gather(*map(self.query, some)), strict=True))
            return found
        return dict(zip(asked, await asyncio.gather(*map(self.query, asked)), strict=True))

    def accepts(self, info: NarInfo) -> bool:
        """Whether what it says is signed by whom we trust, or needs no signature."""
        return self._trust.accepts(info)

    def check_trust(self, info: NarInfo) -> None:
        """Raises `PathNotTrusted`."""
        if not self.accepts(info):
            names = tuple(text.partition(":")[0] for text in info.signatures)
            raise PathNotTrusted(self.url, str(info.path), names, self._trust.threshold)

    def unpack(self, info: NarInfo, batch: Batch, *, stopped: Callable[[], bool] = lambda: False) -> None:
        """Fetch a path into a batch, in the thread that calls. Raises `CacheCorrupt`, `CacheUnusable`, `PathNotTrusted`."""
        self.check_trust(info)
        path = str(info.path)
        is_content = content_makes_name(info)
        check = ContentCheck(info) if is_content else None
        header = PathHeader(
            path,
            info.nar_hash.base32,
            info.nar_size,
            tuple(str(reference) for reference in info.references),
            f"{self._store_dir}/{info.deriver}" if info.deriver else "",
            info.ca if is_content else "",
            info.signatures,
        )
        with self._transport.open(info.url) as file:
            if file is None:
                self._forget(info.path)
                raise CacheCorrupt(self.url, path, f"{info.url} is missing")
            try:
                batch.unpack(header, nar_reader(self.url, info, file, feed=check.feed if check else None, stopped=stopped))
            except NarRefused as error:
                raise CacheCorrupt(self.url, path, error.message) from None
            except PathCorrupt as error:
                raise CacheCorrupt(self.url, path, f"it is {error.found}, not {error.expected}") from None
        if check and not check.holds():
            raise CacheCorrupt(self.url, path, f"its content does not have the hash {info.ca}")

    def close(self) -> None:
        """Let go of connections and threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._transport.close()

    async def _settings(self) -> Mapping[str, str]:
        """The cache's own, asked once."""
        with self._asking:
            if self._starting is None or (self._starting.done() and self._starting.exception()):
                self._starting = self._threads.submit(self._read_settings)
            starting = self._starting
        return await _shared(starting)

    def _read_settings(self) -> Mapping[str, str]:
        data = self._get(_SETTINGS)
        if data is None:
            raise CacheUnusable(self.url, f"it has no {_SETTINGS}")
        lines = (line.partition(":") for line in data.decode("utf-8", "replace").splitlines())
        settings = {key.strip(): value.strip() for key, _, value in lines}
        if settings.get("StoreDir", self._store_dir) != self._store_dir:
            raise CacheUnusable(self.url, f"its paths are for {settings['StoreDir']}, ours for {self._store_dir}")
        return settings

    async def _answer(self, path: StorePath) -> NarInfo | None:
        part = path.hash_part
        with self._asking:
            answer = self._answers.get(part)
            if answer is None or (answer.done() and answer.exception()):
                answer = self._answers[part] = self._threads.submit(self._read, path)
        return await _shared(answer)

    def _read(self, path: StorePath) -> NarInfo | None:
        data = self._get(f"{path.hash_part}.narinfo")
        try:
            return None if data is None else NarInfo.parse(data.decode("utf-8", "replace"), str(path), self._store_dir)
        except NarInfoRefused:
            self._forget(path)
            raise

    def _get(self, name: str) -> bytes | None:
        if self._memory is None:
            return self._transport.get(name)
        answer = self._memory.recall(self.url, name)
        if answer is not None:
            return answer.body
        body = self._transport.get(name)
        if body is not None or name != _SETTINGS:
            self._memory.remember(self.url, name, body)
        return body

    def _forget(self, path: StorePath) -> None:
        with self._asking:
            self._answers.pop(path.hash_part, None)
        if self._memory is not None:
            self._memory.forget(self.url, f"{path.hash_part}.narinfo")


async def _shared(future: Future[_Result]) -> _Result:
    """A result that others wait for too: who gives up does not take it from them."""
    return await asyncio.shield(asyncio.wrap_future(future))
