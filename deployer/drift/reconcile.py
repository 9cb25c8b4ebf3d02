"""Ask hosts how they are, decide, and repair."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from deployer.drift.policy import Decision, Policy, Verdict, decide
from deployer.errors import DeployerError, JsonValue
from deployer.formats.messages import DriftItem
from deployer.history import History, HostOutcome
from deployer.rollout.events import EventSink
from deployer.rollout.operations import HostResult


class DriftOperations(Protocol):
    """What drift asks of hosts, by name. Errors are raised."""

    async def observe(self, host: str, ignore: Sequence[str]) -> tuple[DriftItem, ...]:
        """Where the host differs from what its current generation declares."""

    async def repair(self, host: str, on_event: EventSink) -> HostResult:
        """Set right what has drifted; a transaction like any other, with its checks and its way back."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What was found on one host, and done about it."""

    host: str
    decision: Decision | None
    """None: the host could not be asked."""
    repaired: HostResult | None = None
    error: DeployerError | None = None

    @property
    def items(self) -> tuple[DriftItem, ...]:
        """The differences that are not ignored."""
        return self.decision.items if self.decision else ()

    @property
    def is_clean(self) -> bool:
        """Whether the host is as declared now."""
        if self.error is not None or self.decision is None:
            return False
        if self.repaired is not None:
            return self.repaired.outcome in {HostOutcome.CONFIRMED, HostOutcome.UNCHANGED}
        return self.decision.verdict is Verdict.CLEAN

    def to_json(self) -> dict[str, JsonValue]:
        """One document a host, for `--json`."""
        return {
            "host": self.host,
            "verdict": str(self.decision.verdict) if self.decision else "unknown",
            "drift": [item.to_document() for item in self.items],
            "because": [f"{item.kind}:{item.target}" for item in self.decision.because] if self.decision else [],
            "until": self.decision.until if self.decision and self.decision.until else None,
            "repaired": str(self.repaired.outcome) if self.repaired else None,
            "error": self.error.to_json() if self.error else None,
        }


async def reconcile(
    policies: Mapping[str, Policy],
    operations: DriftOperations,
    history: History,
    emit: EventSink,
    *,
    repair: bool = True,
    max_parallel: int = 10,
    clock: Callable[[], float] = time.time,
) -> tuple[DriftReport, ...]:
    """Compare every host with what it declares, and repair those whose policy says so, at most `max_parallel` at a time.

    `repair=False` only reports. A host that is locked by somebody else is not repaired: its report carries the error.
    """
    gate = asyncio.Semaphore(max_parallel)

    async def one(host: str, policy: Policy) -> DriftReport:
        async with gate:
            try:
                items = await operations.observe(host, policy.ignore)
                repairs = history.repairs_of(host, since=clock() - policy.flapping_window)
            except DeployerError as error:
                return DriftReport(host, None, error=error)
            decision = decide(policy, items, repairs, clock())
            if decision.verdict is not Verdict.REPAIR or not repair:
                return DriftReport(host, decision)
            return await _repair(host, decision)

    async def _repair(host: str, decision: Decision) -> DriftReport:
        targets = [(item.kind, item.target) for item in decision.items]
        try:
            history.lock([host])
        except DeployerError as error:
            return DriftReport(host, decision, error=error)
        try:
            # Written down first: a repair that kills the controller must count against the next one.
            history.record_drift(host, targets, repaired=True)
            result = await operations.repair(host, emit)
        except DeployerError as error:
            return DriftReport(host, decision, error=error)
        finally:
            history.unlock([host])
        return DriftReport(host, decision, repaired=result, error=result.error)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(host, policy)) for host, policy in policies.items()]
    return tuple(task.result() for task in tasks)
