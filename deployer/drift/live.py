"""The operations of drift on real hosts."""

from __future__ import annotations

from collections.abc import Sequence

from deployer.copy import HostSession
from deployer.formats.messages import DriftItem
from deployer.rollout.events import EventSink
from deployer.rollout.live import LiveOperations, Target
from deployer.rollout.operations import HostResult
from deployer.rollout.visit import Opener


class LiveDriftOperations:
    """`DriftOperations` on real hosts: a host is asked for what its own current generation declares."""

    def __init__(self, opener: Opener, controller: str) -> None:
        """`controller` is who repairs, for people."""
        self._open, self._controller = opener, controller

    async def observe(self, host: str, ignore: Sequence[str]) -> tuple[DriftItem, ...]:
        """Where the host differs from what its current generation declares."""
        async with await self._open(host) as session:
            return await session.observe(ignore) if session.state.generation else ()

    async def repair(self, host: str, on_event: EventSink) -> HostResult:
        """Activate the current generation once more, setting right what is not as it says."""
        async with await self._open(host) as session:
            target = await current_target(session)
        operations = LiveOperations({host: target}, self._open, None, self._controller)
        try:
            return await operations.deploy(host, on_event)
        finally:
            await operations.close()


async def current_target(session: HostSession) -> Target:
    """A host's current generation, to be activated once more."""
    system = session.state.system
    manifest = await session.manifest(system)
    return Target(system, manifest, generation=session.state.generation, repair=True)
