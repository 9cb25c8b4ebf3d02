"""What the executor asks of the hosts: the seam between a rollout's decisions and the real fleet (or a simulated one)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from deployer.errors import DeployerError
from deployer.formats.state import StateLine
from deployer.history.records import HostOutcome
from deployer.rollout.events import EventSink


class RolloutHost(Protocol):
    """What a rollout needs to know of a host; `inventory.Host` is one."""

    @property
    def name(self) -> str:
        """Its name in the inventory."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that it is in."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """Where a host is, before anything is changed."""

    host: str
    state: StateLine
    system: str
    """That it is to have."""
    needs_change: bool
    error: DeployerError | None = None
    """Why it must not be changed now: what a plan refuses, a state that needs a person."""


@dataclass(frozen=True, slots=True)
class HostResult:
    """How one operation on a host ended.

    Of `deploy`: `CONFIRMED`, `STAGED`, `PUSHED`, `UNCHANGED`, `ROLLED_BACK`, `FAILED`, `UNREACHABLE` or `NEEDS_PERSON`. Of
    `rollback`: `RETURNED` (also where the host was there already), `UNREACHABLE`, `FAILED` or `NEEDS_PERSON`.
    """

    outcome: HostOutcome
    generation: int = 0
    system: str = ""
    reason: str = ""
    log: tuple[str, ...] = ()
    """The last lines of what failed."""
    error: DeployerError | None = None
    uncertain: bool = False
    """With `UNREACHABLE`: whether the host may run the new generation nevertheless (the answer to a confirmation was lost)."""


class HostOperations(Protocol):
    """What can be done to hosts, by name.

    The methods hand progress (phases, copied paths, actions, checks, log lines) to `on_event`; how the host ended they
    return or raise, and the executor makes the event of it. A raised error of the executor's `unreachable` classes means
    `UNREACHABLE`, one whose exit code is `NEEDS_PERSON` means that, any other `DeployerError` means `FAILED`. Cancellation
    means: let go of the host, which then decides by itself; it must not be waited for.
    """

    async def prepare(self, host: str) -> Preflight:
        """Connect, and find out where the host is. Changes nothing."""

    async def deploy(self, host: str, on_event: EventSink) -> HostResult:
        """Copy, activate, and confirm or see it rolled back."""

    async def rollback(self, host: str, to_generation: int, on_event: EventSink) -> HostResult:
        """Return to an earlier generation; 0: to the state before us."""
