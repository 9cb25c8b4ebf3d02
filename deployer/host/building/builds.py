"""One build at a time: the directory that it has, how it ends, and what becomes of what it made."""

from __future__ import annotations

import asyncio
import contextlib
import os
import zlib
from pathlib import Path
from typing import Any, Callable, Coroutine, Dict, List, Optional, Sequence

from deployer.formats.building import CANCELLED, BuildEnding, BuildOrder, Made
from deployer.host.building.errors import NothingBuilt, SandboxUnusable
from deployer.host.building.presence import During
from deployer.sandbox import RunLimits, SandboxSpec, lay_out, made_by, run_in_sandbox
from deployer.sandbox.bubbles import Bubbles
from deployer.sandbox.cells import Cells
from deployer.sandbox.fitness import look_through
from deployer.sandbox.scratch import build_directory, clear, furnish, keep, scratch_directory
from deployer.store import PathInfo, Store
from deployer.store.trees import canonicalise, write_nar


class Builds:
    """What the last build left is there until the next one, or the end."""

    def __init__(self, store: Store) -> None:
        """Nothing is built yet."""
        self._store = store
        self._scratch: Optional[Path] = None
        self._made: Dict[str, Path] = {}
        self._order: Optional[BuildOrder] = None

    def run(self, order: BuildOrder, bubblewrap: Sequence[str], during: During) -> BuildEnding:
        """Run one to its end, which is also that of the controller. `bubblewrap`: nothing where our own warden makes it."""
        self.clear()
        self._order, self._scratch = order, scratch_directory(self._store)
        furnish(self._scratch)
        spec = lay_out(order, self._store.physical, self._scratch)
        limits = RunLimits(order.timeout, order.silence_timeout, order.log_limit)
        with during:
            ending = asyncio.run(_run(_build(bubblewrap, spec, limits, during), during))
        during.finish()
        return self._look_at(order, ending, self._scratch)

    def export(self, names: Sequence[str], send: Callable[[bytes], None]) -> None:
        """Send the NARs of outputs, compressed together."""
        packer = zlib.compressobj(1)
        for name in names:
            write_nar(str(self._made_at(name)), lambda data: send(packer.compress(data)))
        send(packer.flush())

    def adopt(self, made: Sequence[Made]) -> None:
        """Make outputs valid here as the controller found them, so that the next build need not be sent them."""
        order = self._order
        names = {path: name for name, path in order.outputs.items()} if order else {}
        with self._store.batch() as batch:
            for one in made:
                place = str(self._made_at(names.get(one.path, one.path)))
                canonicalise(place, owner=os.geteuid())
                batch.move(PathInfo(one.path, one.nar_hash, one.nar_size, one.references, one.deriver, ultimate=True), place)
            batch.commit()
        self.clear()

    def clear(self) -> None:
        """Remove what the last build left."""
        scratch, self._scratch = self._scratch, None
        self._made, self._order = {}, None
        if scratch is not None:
            clear(scratch)

    def _look_at(self, order: BuildOrder, ending: BuildEnding, scratch: Path) -> BuildEnding:
        self._made = {name: place for name, place in made_by(order, scratch).items() if os.path.lexists(place)}
        unfit = reason = kept = ""
        if ending.is_good:
            for name, place in self._made.items():
                found = look_through(str(place))
                if found is not None:
                    unfit, reason = order.outputs[name] + found.place, found.reason
                    break
        is_lost = not ending.is_good or bool(unfit) or len(self._made) < len(order.outputs)
        if is_lost and order.keep_failed and ending.stopped != CANCELLED:
            with contextlib.suppress(OSError):  # The failure itself is more important than that it can't be kept.
                name = os.path.basename(order.derivation)[33:]
                kept = str(keep(build_directory(scratch), name[:-4] if name.endswith(".drv") else name))
        made = tuple(self._made)
        if is_lost:
            self.clear()
        return BuildEnding(ending.status, ending.stopped, made, kept, unfit, reason)

    def _made_at(self, name: str) -> Path:
        if name not in self._made:
            raise NothingBuilt(name[:200])
        return self._made[name]


async def _build(bubblewrap: Sequence[str], spec: SandboxSpec, limits: RunLimits, during: During) -> BuildEnding:
    if bubblewrap:
        return await run_in_sandbox(Bubbles(bubblewrap), spec, limits=limits, on_output=during.print)
    cells = Cells()
    refused = await cells.open()
    if refused:
        raise SandboxUnusable(refused)
    try:
        return await run_in_sandbox(cells, spec, limits=limits, on_output=during.print)
    finally:
        cells.close()


async def _run(build: Coroutine[Any, Any, BuildEnding], during: During) -> BuildEnding:
    building = asyncio.ensure_future(build)
    listening = asyncio.ensure_future(during.wait_for_cancel())
    tasks: List[Any] = [building, listening]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if building.done():
            return await building
        building.cancel()
        await asyncio.wait([building])
        await listening
        return BuildEnding(stopped=CANCELLED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
