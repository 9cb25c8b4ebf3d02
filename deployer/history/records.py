"""What history remembers, as values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from deployer.errors import JsonValue
from deployer.history.holder import Holder
from deployer.records import Record


class HostOutcome(enum.StrEnum):
    """How one host ended in one rollout."""

    NOT_STARTED = "not-started"
    UNDER_WAY = "under-way"
    """Begun, and not known to have ended."""
    UNCHANGED = "unchanged"
    """It already was where it should be."""
    CONFIRMED = "confirmed"
    """It runs the new generation."""
    STAGED = "staged"
    """The next boot will try the new generation."""
    PUSHED = "pushed"
    """It holds what the new generation needs, and was not changed."""
    ROLLED_BACK = "rolled-back"
    """The new generation was not good; the host went back by itself."""
    RETURNED = "returned"
    """It was confirmed, and the rollout took it back."""
    FAILED = "failed"
    """Something failed before the host was changed."""
    UNREACHABLE = "unreachable"
    NEEDS_PERSON = "needs-person"


class PlannedHost(Record):
    """A host of a rollout, as the preflight saw it, before anything was changed."""

    host: str
    wave: int
    """Counts from 1; 0: in none, because the host needs no change or is out of reach."""
    previous_generation: int = 0
    """To which it returns; 0: the state before us."""
    previous_system: str = ""
    system: str = ""
    """That it is to have."""
    outcome: HostOutcome = HostOutcome.NOT_STARTED
    error: Mapping[str, JsonValue] = field(default_factory=dict)


class RolloutRecord(Record):
    """One rollout."""

    number: int
    command: str
    """`deploy`, `rollback`, `reconcile`."""
    holder: Holder
    """Who drives it, or drove it last."""
    started: float
    """Seconds since 1970, by the controller's clock."""
    ended: float | None
    ending: str
    """`done`, `partial`, `stopped`, `rolled-back`, `cancelled`, `needs-person`; empty while it runs or was cut off."""
    exit_code: int | None
    reason: str
    strategy: Mapping[str, Any]
    details: Mapping[str, Any]
    """What the caller wants to find again on resume: the inventory's files, the selector, …"""

    @property
    def is_interrupted(self) -> bool:
        """Whether its controller has died before it ended."""
        return self.ended is None and self.holder.is_dead()

    @property
    def state(self) -> str:
        """The ending, or `running`, or `interrupted`."""
        return self.ending or ("interrupted" if self.is_interrupted else "running")


class HostRecord(Record):
    """One host in one rollout."""

    rollout: int
    host: str
    wave: int
    previous_generation: int
    previous_system: str
    system: str
    generation: int
    """That it had at the end; 0: none, or not known."""
    outcome: HostOutcome
    error: Mapping[str, Any]
    started: float | None
    ended: float | None


class EventRecord(Record):
    """One event, as its document."""

    number: int
    rollout: int
    time: float
    event: Mapping[str, Any]


class LockRecord(Record):
    """One host that is held."""

    host: str
    holder: Holder
    rollout: int
    """0: by something that is no rollout."""
    since: float
