"""Another machine as an engine: it gets the inputs and the order of a build, runs our sandbox, and we take the outputs back.

The connection is someone else's (`Builder`). What came back is admitted as if this machine's sandbox had made it: pinned hashes,
references and kinds of files are checked here. The builder keeps what we admitted, so that the next build need not be sent it.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from deployer.build.engine import OnLine, Progress
from deployer.build.engines.bubblewrap import bubblewrap_tree
from deployer.build.engines.errors import BubblewrapMissing, SystemUnknown
from deployer.build.errors import EndedBadly, HashMismatch, OutputMissing, OutputRefused
from deployer.build.graph import Node
from deployer.build.inputs import Inputs
from deployer.build.logs import LogWriter, log_file
from deployer.build.ordering import order_of
from deployer.build.outputs import admit, examine
from deployer.build.printed import Printed
from deployer.build.reproducibility import demand_first_build, differences, keep_different
from deployer.build.settings import BuildSettings
from deployer.errors import DeployerError, raise_all
from deployer.formats import StorePath
from deployer.formats.building import BuildEnding, BuilderFacts, BuildOrder, Made
from deployer.formats.nar import NarReader, NarRefused
from deployer.sandbox.scratch import clear, scratch_directory
from deployer.store import Store
from deployer.store.restoring import exactly
from deployer.store.trees import Unpacker

FEATURES: Final = ("benchmark", "big-parallel", "nixos-test")
"""Those that every builder has without being told, as Nix's have."""
_MOST: Final = 1 << 20
"""Bytes that one step may inflate to."""


class Builder(Protocol):
    """A conversation with a machine that builds, for one build after another. All of it raises `DeployerError`."""

    async def hello(self) -> BuilderFacts:
        """What it is."""
        ...

    async def probe(self, bubblewrap: str) -> None:
        """Have a sandbox tried there, with the bubblewrap of a store path or with its own, where it needs one."""
        ...

    async def send(self, store: Store, paths: Collection[str]) -> None:
        """Bring paths there, and all that they refer to."""
        ...

    async def build(self, order: BuildOrder, on_output: Callable[[bytes], Awaitable[None]]) -> BuildEnding:
        """Have a script run. On cancellation it has ended there."""
        ...

    async def export(self, outputs: Sequence[str], take: Callable[[bytes], Awaitable[None]]) -> None:
        """Get what was built: NARs one after another, compressed by zlib."""
        ...

    async def adopt(self, made: Sequence[Made]) -> None:
        """Have what was built be valid there."""
        ...

    async def close(self) -> None:
        """End it."""
        ...


class RemoteEngine:
    """Builds on one machine, over as many connections as builds run there at once."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], Awaitable[Builder]],
        *,
        carried: Callable[[Store], Collection[str]] = lambda _: (),
        systems: Collection[str] = (),
        features: Collection[str] = (),
        jobs: int = 0,
    ) -> None:
        """`systems`: the machine's unless said, `jobs`: one a processor. `carried`: paths that it is sent besides all inputs."""
        self._name, self._connect, self._carried = name, connect, carried
        self._said, self._systems = tuple(systems), tuple(systems)
        self._features = (*FEATURES, *features)
        self._asked_jobs, self._processors, self._kvm = jobs, 1, False
        self._idle: list[Builder] = []
        self._inputs: dict[Path, Inputs] = {}
        self._sending = asyncio.Lock()

    async def open(self, store: Store) -> None:
        """Connect, learn what the machine is, and try a sandbox there. Raises `DeployerError`."""
        self._sending, self._inputs = asyncio.Lock(), {}
        self._idle.append(await self._connected(store))

    async def close(self) -> None:
        """End the connections."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(builder.close() for builder in idle))

    @property
    def systems(self) -> Collection[str]:
        """Those that were named, else the machine's."""
        return self._systems

    @property
    def features(self) -> Collection[str]:
        """Those that every builder has, those that were named, and `kvm` where its user may use it."""
        return (*self._features, *(("kvm",) if self._kvm else ()))

    @property
    def jobs(self) -> int:
        """How many builds it is given at once."""
        return self._asked_jobs or self._processors

    async def build(self, store: Store, node: Node, *, settings: BuildSettings, on_line: OnLine, on_progress: Progress) -> None:
        """See `deployer.build.engine.Engine`."""
        del on_progress
        if settings.check:
            demand_first_build(store, node)
        closure = self._inputs.setdefault(store.root, Inputs(store)).closure(node)
        order = order_of(store, node, closure, settings, cores=self._processors)
        scratch = scratch_directory(store)
        try:
            async with self._builder(store) as builder:
                async with self._sending:  # Neighbours share most of their inputs: what one sends, the next need not.
                    await builder.send(store, order.inputs)
                await self._run(builder, store, order, on_line)
                made = await self._fetch(builder, order, scratch)
                if settings.check:
                    second = await asyncio.to_thread(examine, store, node, made, closure=closure)
                    raise_all(await differences(store, node, await asyncio.to_thread(keep_different, store, second)))
                else:
                    await asyncio.to_thread(admit, store, node, made, closure=closure)
                    if not order.network:  # What could still be open to somebody there is not for other builds to read.
                        await builder.adopt([_made(store, path) for path in node.outputs.values()])
        except HashMismatch as mismatch:
            if mismatch.place is None and settings.place_of is not None:
                mismatch.place = settings.place_of(str(node.outputs["out"]))
            raise
        finally:
            await asyncio.to_thread(clear, scratch)

    @contextlib.asynccontextmanager
    async def _builder(self, store: Store) -> AsyncIterator[Builder]:
        """A connection that no other build uses. After anything but the failure of a build it is not used again."""
        builder = self._idle.pop() if self._idle else await self._connected(store)
        is_usable = False
        try:
            yield builder
            is_usable = True
        except EndedBadly:
            is_usable = True
            raise
        finally:
            if is_usable:
                self._idle.append(builder)
            else:
                await asyncio.shield(builder.close())

    async def _connected(self, store: Store) -> Builder:
        builder = await self._connect()
        try:
            facts = await builder.hello()
            self._learn(facts)
            carried = [*self._carried(store)]
            sent = ""
            if facts.sandbox_refusal and not facts.bubblewrap:
                sent = str(await self._own_bubblewrap(store, facts))
                carried.append(sent)
            await builder.send(store, carried)
            await builder.probe(sent)
        except BaseException:
            await asyncio.shield(builder.close())
            raise
        return builder

    def _learn(self, facts: BuilderFacts) -> None:
        self._processors, self._kvm = max(facts.processors, 1), facts.kvm
        self._systems = self._said or (f"{facts.machine}-linux",)
        for system in self._said:
            if not _runs(facts, system):
                raise SystemUnknown(self._name, system, facts.machine)

    async def _own_bubblewrap(self, store: Store, facts: BuilderFacts) -> StorePath:
        """Of this machine, for one of the same kind. Raises `BubblewrapMissing`."""
        if facts.machine != platform.machine():
            reason = f"this machine's is for {platform.machine()}, and it is {facts.machine}"
            raise BubblewrapMissing(self._name, facts.sandbox_refusal, reason)
        try:
            return await bubblewrap_tree(store)
        except DeployerError as error:
            raise BubblewrapMissing(self._name, facts.sandbox_refusal, error.message) from None

    async def _run(self, builder: Builder, store: Store, order: BuildOrder, on_line: OnLine) -> None:
        log = LogWriter(log_file(store, order.derivation))
        printed = Printed(log, on_line)
        try:
            ending = await builder.build(order, printed.write)
        finally:
            printed.finish()
            await asyncio.to_thread(log.seal)
        error: EndedBadly | None = None
        lacking = [name for name in order.outputs if name not in ending.made]
        if not ending.is_good:
            error = printed.failure(order, ending)
        elif ending.unfit:
            error = OutputRefused(order.derivation, ending.unfit, ending.unfit_reason)
        elif lacking:
            error = OutputMissing(order.derivation, lacking[0])
        if error is not None:
            error.kept = f"{ending.kept} on {self._name}" if ending.kept else ""
            raise error

    async def _fetch(self, builder: Builder, order: BuildOrder, scratch: Path) -> Mapping[str, Path]:
        places = {name: scratch / name for name in order.outputs}
        with tempfile.TemporaryFile(dir=scratch) as stream:

            async def take(piece: bytes) -> None:
                stream.write(piece)

            await builder.export([*places], take)
            stream.seek(0)
            await asyncio.to_thread(_unpack, stream, places.values())
        return places


def _runs(facts: BuilderFacts, system: str) -> bool:
    """Whether a machine can be what it is said to be: by itself, by its older brother's mode, or by an emulator."""
    machine = system.removesuffix("-linux")
    brothers = {"x86_64": ("i686", "i586", "i486", "i386"), "aarch64": ("armv7l", "armv6l")}
    return machine in {facts.machine, *brothers.get(facts.machine, ())} or bool(facts.emulated)


def _made(store: Store, path: StorePath) -> Made:
    info = store.query(path)
    return Made(info.path, info.nar_hash, info.nar_size, info.references, info.deriver)


class _Inflated:
    """A compressed file, read piece by piece."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._inflater, self._left = stream, zlib.decompressobj(), b""

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end. Raises `NarRefused`."""
        while not self._left and not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._stream.read(_MOST)
            if not packed:
                break
            try:
                self._left = self._inflater.decompress(packed, _MOST)
            except zlib.error as error:
                raise NarRefused(f"it is damaged: {error}") from None
        data, self._left = self._left[:size], self._left[size:]
        return data


def _unpack(stream: BinaryIO, places: Collection[Path]) -> None:
    """What a builder sends of itself is believed no more than what a build writes: `examine` looks at all of it."""
    read = exactly(_Inflated(stream).read)
    for place in places:
        sink = Unpacker(str(place), _no_file)
        NarReader(read, sink, lambda _: None).tree()
        sink.finish()


def _no_file(name: str) -> str:
    raise NarRefused(f"it names a file {name!r} that is held elsewhere")
