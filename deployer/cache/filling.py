"""A store that is filled from caches: many paths at once, each once, and all that are ready made valid together.

A path is locked as one that is built is, so that other processes wait for it rather than fetch it too. Who waits for a lock,
or for what a path refers to, never holds back those it waits for: paths begin after all that they refer to have begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, Protocol

from deployer.cache.archives import Stopped
from deployer.cache.errors import CacheCorrupt
from deployer.errors import DeployerError
from deployer.formats import StorePath
from deployer.store import Batch, Store
from deployer.store.locks import try_lock

DOWNLOADS: Final = 8
"""Archives under way at the same time."""
_BEGUN: Final = 128
"""Paths that are unpacked, or soon will be, and not yet valid. Each holds a lock file open."""
_FIRST_WAIT, _LONGEST_WAIT = 0.01, 0.5
"""Seconds between two looks at a lock that another holds."""
_PATIENCE: Final = 2.0
"""Seconds to wait for downloads that nobody wants any more."""


class Source(Protocol):
    """Where a path can be had from."""

    @property
    def url(self) -> str:
        """The cache."""
        ...

    @property
    def references(self) -> Sequence[StorePath]:
        """What it says that the path refers to."""
        ...

    def unpack(self, batch: Batch, stopped: Callable[[], bool]) -> None:
        """Fetch the path into a batch. Blocks. Raises `DeployerError`."""
        ...


Sources = Callable[[StorePath], AsyncGenerator[Source, None]]
"""The sources of a path, best first. Ends with an error where there is nothing more to try."""


class _Path:
    """A path on its way."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the path, and all that it refers to, are valid or about to be made so."""
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self.needs: Sequence[_Path] = ()
        self.task: asyncio.Task[None]

    def waits_for(self, other: _Path) -> bool:
        """Whether it can't be ready before another is."""
        todo, seen = [self], {self}
        while todo:
            if other in (needs := todo.pop().needs):
                return True
            todo += [one for one in needs if one not in seen]
            seen.update(needs)
        return False


class Filling:
    """One store, as long as somebody fills it."""

    def __init__(self, store: Store, sources: Sources, on_trouble: Callable[[DeployerError], None]) -> None:
        """`on_trouble` is told of sources that failed, where another is tried."""
        self._store, self._sources, self._on_trouble = store, sources, on_trouble
        self._paths: dict[StorePath, _Path] = {}
        self._callers = 0
        self._begun = asyncio.Semaphore(_BEGUN)
        self._committer = _Committer(store)
        self._stopped = threading.Event()
        self._threads = ThreadPoolExecutor(DOWNLOADS, "deployer-download")
        self._downloads: set[Future[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nobody fills it."""
        return not self._callers

    def close(self) -> None:
        """Let go of the threads, once nobody fills it."""
        self._threads.shutdown(wait=False)

    async def fill(self, order: Mapping[StorePath, Iterable[StorePath]], wanted: StorePath) -> None:
        """Make `wanted` valid, with all of `order`: paths, and what they refer to; references first."""
        self._callers += 1
        try:
            for path, references in order.items():
                self._start(path, [reference for reference in references if reference != path])
            await asyncio.shield(self._paths[wanted].task)
        finally:
            self._callers -= 1
            if not self._callers:
                await self._stop()

    def _start(self, path: StorePath, references: Sequence[StorePath], *, bounded: bool = True) -> _Path:
        if path not in self._paths:
            entry = self._paths[path] = _Path()
            entry.task = asyncio.create_task(self._bring(path, entry, references, bounded=bounded))
        return self._paths[path]

    async def _stop(self) -> None:
        paths, self._paths = self._paths, {}
        stopped, self._stopped = self._stopped, threading.Event()
        stopped.set()
        for entry in paths.values():
            entry.task.cancel()
        await asyncio.gather(*(entry.task for entry in paths.values()), return_exceptions=True)
        if downloads := list(self._downloads):
            # They end at their next read, and remove what they have unpacked; from a silent server that may take longer.
            await asyncio.to_thread(wait, downloads, _PATIENCE)

    async def _bring(self, path: StorePath, entry: _Path, references: Sequence[StorePath], *, bounded: bool) -> None:
        try:
            await asyncio.gather(*(self._paths[one].begun.wait() for one in references if one in self._paths))
            async with self._begun if bounded else contextlib.nullcontext():
                entry.begun.set()
                async with self._locked(path):
                    if not await asyncio.to_thread(self._store.is_valid, path):
                        await self._fetch(path, entry)
                    elif not entry.ready.done():
                        entry.ready.set_result(None)
        except BaseException as error:
            if not entry.ready.done():
                entry.ready.set_exception(error if isinstance(error, DeployerError) else Stopped())
            raise
        finally:
            entry.begun.set()

    async def _fetch(self, path: StorePath, entry: _Path) -> None:
        failed: DeployerError | None = None
        async with contextlib.aclosing(self._sources(path)) as sources:
            async for source in sources:
                if failed is not None:
                    self._on_trouble(failed)
                try:
                    committed = await self._take(path, entry, source)
                except DeployerError as error:
                    failed = error
                    continue
                entry.ready.set_result(None)
                await committed()
                return
        if failed is not None:
            raise failed

    async def _take(self, path: StorePath, entry: _Path, source: Source) -> Callable[[], asyncio.Future[None]]:
        # Another source may tell of references that no one has looked for yet; the bound is not for these.
        entry.needs = [self._start(one, (), bounded=False) for one in await self._lacked(path, source.references)]
        if entry.waits_for(entry):
            raise CacheCorrupt(source.url, str(path), "it refers to something that refers to it")
        batch = await self._unpacked(source)
        try:
            await asyncio.gather(*(asyncio.shield(other.ready) for other in entry.needs))
            return self._committer.add(batch)
        except BaseException:
            batch.close()
            raise

    async def _lacked(self, path: StorePath, references: Sequence[StorePath]) -> list[StorePath]:
        others = {reference for reference in references if reference != path}
        unknown = others - self._paths.keys()
        if unknown:
            await asyncio.to_thread(self._store.keep, unknown)
        valid = await asyncio.to_thread(self._store.valid, unknown) if unknown else set()
        return [one for one in sorted(others) if str(one) not in valid]

    async def _unpacked(self, source: Source) -> Batch:
        batch, stopped = self._store.batch(), self._stopped

        def unpack() -> None:
            try:
                source.unpack(batch, stopped.is_set)
            except BaseException:
                batch.close()
                raise
            if stopped.is_set():
                batch.close()

        future = self._threads.submit(unpack)
        self._downloads.add(future)
        future.add_done_callback(self._downloads.discard)
        try:
            await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda _: batch.close())
            raise
        return batch

    @contextlib.asynccontextmanager
    async def _locked(self, path: StorePath) -> AsyncIterator[None]:
        pause = _FIRST_WAIT
        while (release := try_lock(self._store.layout.locks / f"{path.base_name}.lock")) is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_WAIT)
        try:
            yield
        finally:
            release()


class _Committer:
    """Makes batches valid, in one go all that came while the last commit ran: a sync of the disk costs the same for many."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = asyncio.Lock()
        self._group: list[Batch] = []
        self._result: asyncio.Future[None] | None = None

    def add(self, batch: Batch) -> Callable[[], asyncio.Future[None]]:
        """Have a batch in the next commit. What is returned, called, waits for it."""
        self._group.append(batch)
        if self._result is None:
            self._result = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(self._commit(self._result))
            self._result.add_done_callback(lambda _: task)
        result = self._result
        return lambda: asyncio.shield(result)

    async def _commit(self, result: asyncio.Future[None]) -> None:
        async with self._turn:
            group, self._group, self._result = self._group, [], None
            try:
                await asyncio.to_thread(self._together, group)
            except BaseException as error:
                result.set_exception(error)
                result.exception()
            else:
                result.set_result(None)

    def _together(self, group: Sequence[Batch]) -> None:
        with self._store.batch() as whole:
            for batch in group:
                whole.absorb(batch)
            whole.commit()
