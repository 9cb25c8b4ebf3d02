"""The engine that is built in: bubblewrap and our own builders, on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import platform
import stat
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deployer.build.engine import OnLine, Progress
from deployer.build.errors import EndedBadly, HashMismatch
from deployer.build.graph import Node
from deployer.build.inputs import Inputs
from deployer.build.logs import LogWriter, log_file
from deployer.build.ordering import order_of
from deployer.build.outputs import Examined, examine, take
from deployer.build.registrar import Registrar
from deployer.build.reproducibility import demand_first_build, differences, keep_different
from deployer.build.resolving import Resolver
from deployer.build.sandboxes import open_sandboxes
from deployer.build.script import Script
from deployer.build.settings import BuildSettings
from deployer.errors import raise_all
from deployer.formats import StorePath
from deployer.sandbox.running import Sandboxes
from deployer.sandbox.scratch import ScratchDirectories, build_directory, clear, keep
from deployer.sandbox.spec import KVM
from deployer.store import Batch, Store

if TYPE_CHECKING:
    from deployer.build.builtins import BuiltinJob

InThread = Callable[..., Awaitable[Any]]
_SYSTEMS: Final = ("builtin", f"{platform.machine()}-linux")
_FEATURES: Final = ("benchmark", "big-parallel", "nixos-test")
"""Those that Nix, too, has without being told."""
_SMALL: Final = 1 << 14
"""Bytes."""


class Maker:
    """Makes derivations for one run of `realise`."""

    def __init__(self, settings: BuildSettings, in_thread: InThread, cancelled: threading.Event) -> None:
        """`in_thread` runs a function off the event loop."""
        self._settings, self._in_thread, self._cancelled = settings, in_thread, cancelled
        self._registrar = Registrar(in_thread)
        self._sandboxes: asyncio.Task[Sandboxes] | None = None
        self._scratches = ScratchDirectories()
        self._inputs: dict[Path, Inputs] = {}
        self._mirrors = functools.cache(self._find_mirrors)
        self.vendor = functools.cache(self._find_vendor)

    async def open(self, store: Store) -> None:
        """See `deployer.build.engine.Engine`; here, nothing needs to be found out."""

    async def close(self) -> None:
        """See `deployer.build.engine.Engine`; here, what makes the sandboxes is ended."""
        self._scratches.close()
        opening, self._sandboxes = self._sandboxes, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
            if not opening.cancelled() and not opening.exception():
                opening.result().close()

    @property
    def systems(self) -> Collection[str]:
        """This machine's, and our own builders'."""
        return _SYSTEMS

    @property
    def features(self) -> Collection[str]:
        """As Nix's, and `kvm` where this user may use it."""
        return (*_FEATURES, *(("kvm",) if os.access(KVM, os.R_OK | os.W_OK) else ()))

    @property
    def jobs(self) -> int:
        """As the settings say."""
        return self._settings.jobs

    async def build(
        self,
        store: Store,
        node: Node,
        *,
        settings: BuildSettings,
        on_line: OnLine,
        on_progress: Progress,
        on_built: Callable[[], None] = lambda: None,
        is_awaited: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make a derivation whose inputs are valid; with `settings.check`, make it again and compare.

        `on_built` is told when the builder has ended: what is left waits for the disk, and others may build meanwhile.
        `is_awaited` is asked after that, whether something can't begin before this is registered.
        """
        if settings.check:
            demand_first_build(store, node)
        scratch, is_reused = self._scratches.take(store), False
        try:
            with store.batch() as batch:
                with self._registrar.building():
                    attempt = await self._attempt(store, node, scratch, settings, on_line, on_progress)
                    on_built()
                    await asyncio.sleep(0)  # The next build has been waiting for its turn; this one has had it.
                    if settings.check:
                        return await self._compare(store, node, attempt)
                    if attempt.is_small:
                        attempt.finish(batch, store, node)
                    else:
                        await self._in_thread(attempt.finish, batch, store, node)
                is_reused = self._scratches.give_back(store, scratch, {path.base_name for path in attempt.closure})
                await self._registrar.commit(store, batch, at_once=is_awaited())
        except EndedBadly as error:
            if settings.keep_failed and build_directory(scratch).is_dir():
                with contextlib.suppress(OSError):  # The failure itself is more important than that it can't be kept.
                    error.kept = str(await self._in_thread(keep, build_directory(scratch), node.name))
            raise
        except HashMismatch as mismatch:
            if mismatch.place is None and settings.place_of is not None:
                mismatch.place = settings.place_of(str(node.outputs["out"]))
            raise
        finally:
            if not is_reused:
                await self._in_thread(clear, scratch)

    async def _attempt(
        self, store: Store, node: Node, scratch: Path, settings: BuildSettings, on_line: OnLine, on_progress: Progress
    ) -> _Attempt:
        inputs = self._inputs.setdefault(store.root, Inputs(store))
        if node.is_builtin:
            closure = inputs.closure(node)
            resolver = Resolver(store, str(node.path), frozenset(map(str, closure)))
            await self._in_thread(self._builtin_job(resolver, node, scratch, on_progress).run)
            return _Attempt({"out": scratch / "output"}, closure)
        # Not in a thread: it is short, and waits for no one, but for a thread it would.
        closure, log = inputs.closure(node), LogWriter(log_file(store, str(node.path)))
        order = order_of(store, node, closure, settings, cores=settings.cores)
        script = Script(store, order, scratch, log, await asyncio.shield(self.expect_scripts()))
        try:
            await script.run(on_line)
        except BaseException:
            await self._in_thread(log.seal)
            raise
        return _Attempt(script.made, closure, log)

    def expect_scripts(self) -> asyncio.Task[Sandboxes]:
        """Have what makes the sandboxes begin: one for all builds, and before the first is ready for it."""
        if self._sandboxes is None:
            self._sandboxes = asyncio.create_task(open_sandboxes())
        return self._sandboxes

    async def _compare(self, store: Store, node: Node, attempt: _Attempt) -> None:
        second = await self._in_thread(attempt.examine, store, node)
        raise_all(await differences(store, node, await self._in_thread(keep_different, store, second)))

    def _builtin_job(self, physical: Resolver, node: Node, scratch: Path, on_progress: Progress) -> BuiltinJob:
        from deployer.build.builtins import BuiltinJob

        return BuiltinJob(
            derivation=str(node.path),
            builder=node.derivation.builder,
            environment=node.derivation.environment,
            physical=physical,
            destination=scratch / "output",
            scratch=scratch,
            settings=self._settings,
            mirrors=self._mirrors,
            progress=on_progress,
            cancelled=self._cancelled,
            vendor=self.vendor,
        )

    def _find_vendor(self) -> Sequence[str]:
        if self._settings.vendor is not None:
            return self._settings.vendor
        from deployer.packages.mirrors import find_vendor

        return find_vendor()

    def _find_mirrors(self) -> Mapping[str, Sequence[str]]:
        if self._settings.mirrors is not None:
            return self._settings.mirrors
        from deployer.packages.mirrors import find_mirrors, mirror_urls

        return {"debian": mirror_urls(find_mirrors())}


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A build whose builder has ended well."""

    made: Mapping[str, Path]
    closure: Collection[StorePath]
    log: LogWriter | None = None

    @property
    def is_small(self) -> bool:
        """Whether it is checked in less time than a thread takes to begin."""
        return (self.log is None or self.log.is_empty) and all(map(_is_small, self.made.values()))

    def finish(self, batch: Batch, store: Store, node: Node) -> None:
        """Check what was made, and hand it over for registration."""
        self._seal()
        take(batch, store, node, self.made, closure=self.closure)

    def examine(self, store: Store, node: Node) -> Mapping[str, Examined]:
        """Check what was made, to compare it."""
        self._seal()
        return examine(store, node, self.made, closure=self.closure)

    def _seal(self) -> None:
        if self.log is not None:
            self.log.seal()


def _is_small(made: Path) -> bool:
    """One short file, or nothing at all."""
    try:
        status = os.lstat(made)
    except OSError:
        return True  # Told where it is looked through.
    return not stat.S_ISDIR(status.st_mode) and status.st_size <= _SMALL
