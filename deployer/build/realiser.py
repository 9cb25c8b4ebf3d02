"""`realise`: make the outputs of derivations valid in a store.

What is valid already is left alone, and nothing that only it needs is looked at. What a binary cache has is fetched. The rest
is built, bottom up, as much at once as the settings allow. Two that build the same wait for each other, also across processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, Union

from deployer.build.engine import Engine, able, can_build
from deployer.build.errors import BuilderUnknown, DependencyFailed, NoSlotForBuilds
from deployer.build.events import (
    BuildEnded,
    BuildEvent,
    BuildLogged,
    BuildStarted,
    BuildStopped,
    BuildWaited,
    DownloadProgressed,
    GraphScheduled,
    PathSubstituted,
)
from deployer.build.graph import Graph, Node
from deployer.build.maker import Maker
from deployer.build.reproducibility import demand_first_build
from deployer.build.scheduler import Scheduler
from deployer.build.settings import BuildSettings
from deployer.build.waiting import holding, to_its_end
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
        self._changed = asyncio.Event()
        self._embedded = Maker(settings, self._in_thread, self.cancelled)
        self._engines_of: dict[str, tuple[Engine, ...]] = {}
        self._others = {f"engine {number}": engine for number, engine in enumerate(settings.engines)}

    async def run(self, derivations: Sequence[StorePath]) -> None:
        check = self._settings.check
        graph = await self._in_thread(Graph.load, self._store, derivations, again=check)
        if check:
            for path in graph.wanted:
                demand_first_build(self._store, graph.nodes[path])
        held = await self._ask_caches(graph)
        if held:
            await self._substitute(graph, held)
            graph = await self._in_thread(Graph.load, self._store, derivations, again=check)
        self._on_event(GraphScheduled(len(graph.nodes)))
        if not graph.nodes:
            return
        async with self._opened(graph):
            if not self._others and not all(node.is_builtin for node in graph.nodes.values()):
                self._embedded.expect_scripts()
            await self._build_all(graph)
        raise_all(self._errors)

    @contextlib.asynccontextmanager
    async def _opened(self, graph: Graph) -> AsyncIterator[None]:
        """The other engines know what they can, if there is anything that they might be given."""
        local = (node for node in graph.nodes.values() if node.is_builtin or self._stays(node))
        opened = [] if len([*local]) == len(graph.nodes) else [*self._others.values()]
        try:
            found = await asyncio.gather(*(engine.open(self._store) for engine in opened), return_exceptions=True)
            raise_all(error for error in found if isinstance(error, DeployerError))
            for error in found:
                if error is not None:
                    raise error
            yield
        finally:
            await to_its_end(asyncio.gather(*(engine.close() for engine in (self._embedded, *opened))))

    def _stays(self, node: Node) -> bool:
        return node.prefers_local_build and can_build(self._embedded, node)

    async def _build_all(self, graph: Graph) -> None:
        if not self._settings.keep_going:
            raise_all(self._unbuildable(graph))
        scheduler = Scheduler(
            graph.dependencies,
            slots={
                "fetch": self._settings.downloads,
                "build": self._embedded.jobs,
                **{name: engine.jobs for name, engine in self._others.items()},
            },
            kinds_of=lambda path: self._kinds_of(graph.nodes[path]),
            keep_going=self._settings.keep_going,
        )
        await self._drive(scheduler, graph)

    def _able(self, node: Node) -> tuple[Engine, ...]:
        """The engines for a derivation, which are the same as long as they are open. Raises `BuilderUnknown`."""
        path = str(node.path)
        if path not in self._engines_of:
            self._engines_of[path] = able(node, self._embedded, self._others.values())
        return self._engines_of[path]

    def _unbuildable(self, graph: Graph) -> Iterator[DeployerError]:
        """What nothing can build is told before anything is built."""
        for node in graph.nodes.values():
            try:
                self._able(node)
            except DeployerError as error:
                yield error
        fetches = [node for node in graph.nodes.values() if node.is_fetch]
        if fetches and (places := self._embedded.vendor()):
            from deployer.build.vendor import not_vendored

            yield from not_vendored(fetches, places)

    async def _drive(self, scheduler: Scheduler[str], graph: Graph) -> None:
        running: dict[asyncio.Task[None], str] = {}

        def start_more() -> None:
            for path in () if self.cancelled.is_set() else scheduler.start():
                task = asyncio.create_task(self._build(graph.nodes[path], graph, scheduler, start_more))
                task.add_done_callback(lambda _: self._changed.set())
                running[task] = path

        try:
            while not scheduler.finished:
                start_more()
                if not running:
                    raise NoSlotForBuilds(len(graph.nodes))
                await self._changed.wait()
                self._changed.clear()
                for task in [task for task in running if task.done()]:
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

    def _kinds_of(self, node: Node) -> tuple[str, ...]:
        if node.is_fetch:
            return ("fetch",)
        with contextlib.suppress(BuilderUnknown):  # Told when its turn comes, or was before.
            engines = self._able(node)
            return tuple(name for name, engine in self._others.items() if engine in engines) or ("build",)
        return ("build",)

    async def _build(self, node: Node, graph: Graph, scheduler: Scheduler[str], start_more: Callable[[], None]) -> None:
        path = str(node.path)
        other = self._others.get(scheduler.taken(path))
        check = self._settings.check and path in graph.wanted

        def tell_progress(url: str, received: int, total: int) -> None:
            event = DownloadProgressed(path, node.name, url, received, total)
            self._loop.call_soon_threadsafe(self._on_event, event)

        def release() -> None:
            scheduler.released(path)
            start_more()

        self._able(node)
        waits = functools.partial(self._on_event, BuildWaited(path, node.name))
        async with holding(self._store, node.outputs.values(), on_wait=waits):
            if not check and self._are_valid(node.wanted_outputs):
                return
            started = time.monotonic()
            self._on_event(BuildStarted(path, node.name))
            build = (
                other.build
                if other
                else functools.partial(
                    self._embedded.build,
                    on_built=release,
                    is_awaited=functools.partial(scheduler.is_awaited, path),
                )
            )
            await build(
                self._store,
                node,
                settings=dataclasses.replace(self._settings, check=check),
                on_line=lambda line: self._on_event(BuildLogged(path, node.name, line)),
                on_progress=tell_progress,
            )
        outputs = tuple(str(output) for output in node.outputs.values())
        self._on_event(BuildEnded(path, node.name, outputs, time.monotonic() - started))

    def _are_valid(self, outputs: Collection[StorePath]) -> bool:
        return len(self._store.valid(outputs)) == len(outputs)

    async def _ask_caches(self, graph: Graph) -> dict[StorePath, Any]:
        """Which missing outputs which cache has; the first that has one is taken."""
        if not self._settings.substituters:
            return {}
        every = {output for node in graph.nodes.values() for output in node.wanted_outputs}
        valid = self._store.valid(every)
        wanted = {output for output in every if str(output) not in valid}
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
            for node in graph.tops(lambda node: all(output in held for output in node.wanted_outputs)):
                for output in node.wanted_outputs:
                    tasks.create_task(one(node, output))

    async def _in_thread(self, function: Callable[..., _Result], *arguments: Any, **options: Any) -> _Result:
        # What it works on must not be taken away under it.
        return await to_its_end(self._loop.run_in_executor(self._pool, functools.partial(function, *arguments, **options)))
