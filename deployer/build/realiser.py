"""`realise`: make the outputs of derivations valid in a store.

What is valid already is left alone, and nothing that only it needs is looked at. What a binary cache has is fetched. The rest
is built, bottom up, as much at once as the settings allow. Two that build the same wait for each other, also across processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, Union

from deployer.build.errors import DependencyFailed
from deployer.build.events import (
    BuildEnded,
    BuildEvent,
    BuildLogged,
    BuildStarted,
    BuildStopped,
    DownloadProgressed,
    GraphScheduled,
    PathSubstituted,
)
from deployer.build.graph import Graph, Node
from deployer.build.maker import Maker
from deployer.build.scheduler import Scheduler
from deployer.build.settings import BuildSettings
from deployer.errors import DeployerError, raise_all
from deployer.formats import StorePath
from deployer.store import Store

Sink = Callable[[Union[BuildEvent, GraphScheduled]], None]
_Result = TypeVar("_Result")
_SLOTS_OF_CACHES = 8


async def realise(
    store: Store,
    derivations: Iterable[StorePath],
    *,
    settings: BuildSettings | None = None,
    on_event: Sink = lambda _: None,
) -> None:
    """Make all outputs of `derivations` valid. Raises every failure together, after what runs has ended.

    On cancellation, builds are killed and downloads stop; nothing half-done remains.
    """
    settings = settings or BuildSettings()
    with ThreadPoolExecutor(settings.jobs + settings.downloads + _SLOTS_OF_CACHES, "deployer-build") as pool:
        run = _Run(store, settings, on_event, pool)
        try:
            await run.run(list(derivations))
        finally:
            run.cancelled.set()


class _Run:
    """One call of `realise`."""

    def __init__(self, store: Store, settings: BuildSettings, on_event: Sink, pool: ThreadPoolExecutor) -> None:
        self._store, self._settings, self._pool = store, settings, pool
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self.cancelled = threading.Event()
        self._errors: list[DeployerError] = []

    async def run(self, derivations: Sequence[StorePath]) -> None:
        graph = await self._in_thread(Graph.load, self._store, derivations)
        held = await self._ask_caches(graph)
        if held:
            await self._substitute(graph, held)
            graph = await self._in_thread(Graph.load, self._store, derivations)
        self._on_event(GraphScheduled(len(graph.nodes)))
        if not graph.nodes:
            return
        scheduler = Scheduler(
            graph.dependencies,
            slots={"fetch": self._settings.downloads, "build": self._settings.jobs},
            kind_of=lambda path: "fetch" if graph.nodes[path].is_fetch else "build",
            keep_going=self._settings.keep_going,
        )
        await self._drive(scheduler, graph)
        raise_all(self._errors)

    async def _drive(self, scheduler: Scheduler[str], graph: Graph) -> None:
        running: dict[asyncio.Task[None], str] = {}
        maker = Maker(self._store, self._settings, self._in_thread, self.cancelled)
        try:
            while not scheduler.finished:
                for path in scheduler.start():
                    running[asyncio.create_task(self._build(maker, graph.nodes[path]))] = path
                ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    self._settle(task, running.pop(task), scheduler, graph)
        finally:
            self.cancelled.set()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _settle(self, task: asyncio.Task[None], path: str, scheduler: Scheduler[str], graph: Graph) -> None:
        try:
            task.result()
        except DeployerError as error:
            self._errors.append(error)
            self._on_event(BuildStopped(path, graph.nodes[path].name, error))
            for lost in scheduler.failed(path):
                self._on_event(BuildStopped(lost, graph.nodes[lost].name, DependencyFailed(lost, path)))
        else:
            scheduler.succeeded(path)

    async def _build(self, maker: Maker, node: Node) -> None:
        path = str(node.path)
        started = time.monotonic()

        def tell_progress(url: str, received: int, total: int) -> None:
            event = DownloadProgressed(path, node.name, url, received, total)
            self._loop.call_soon_threadsafe(self._on_event, event)

        def tell_line(line: str) -> None:
            self._on_event(BuildLogged(path, node.name, line))

        built = await maker.make(
            node,
            on_start=lambda: self._on_event(BuildStarted(path, node.name)),
            on_line=tell_line,
            on_progress=tell_progress,
        )
        if built:
            outputs = tuple(str(output) for output in node.outputs.values())
            self._on_event(BuildEnded(path, node.name, outputs, time.monotonic() - started))

    async def _ask_caches(self, graph: Graph) -> dict[StorePath, Any]:
        """Which missing outputs which cache has; the first that has one is taken."""
        wanted = {output for node in graph.nodes.values() for output in node.outputs.values()}
        found: dict[StorePath, Any] = {}
        for cache in self._settings.substituters:
            if left := wanted - set(found):
                found.update(dict.fromkeys(await cache.held(left), cache))
        return found

    async def _substitute(self, graph: Graph, held: Mapping[StorePath, Any]) -> None:
        """Fetch outputs from caches, top down: below what a cache has, nothing is needed. A cache that fails is no error."""
        slots = asyncio.Semaphore(_SLOTS_OF_CACHES)

        async def one(node: Node, output: StorePath) -> None:
            with contextlib.suppress(DeployerError):
                async with slots:
                    await held[output].substitute(self._store, output)
                self._on_event(PathSubstituted(str(node.path), node.name, str(output)))

        async with asyncio.TaskGroup() as tasks:
            for node in graph.tops(lambda node: all(output in held for output in node.outputs.values())):
                for output in node.outputs.values():
                    tasks.create_task(one(node, output))

    async def _in_thread(self, function: Callable[..., _Result], *arguments: Any, **options: Any) -> _Result:
        return await self._loop.run_in_executor(self._pool, functools.partial(function, *arguments, **options))
