"""The operations of a rollout on real hosts: connect, copy, activate, confirm over a fresh connection, go back."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from deployer.copy import ClosureSender, HostSession
from deployer.copy.errors import ConversationBroken, HostRefused
from deployer.copy.session import token_digest
from deployer.errors import DeployerError, DeploymentError, ManyErrors
from deployer.formats.goals import Goal
from deployer.formats.manifest import Check, Manifest
from deployer.formats.messages import (
    Action,
    Activation,
    Plan,
)
from deployer.formats.state import BROKEN, BUSY, LOST, PENDING
from deployer.history import HostOutcome
from deployer.rollout.activating import Activating
from deployer.rollout.controller_checks import red_now
from deployer.rollout.errors import HostBroken, PlanChanged, PlanRefused
from deployer.rollout.events import (
    ClosureCopied,
    EventSink,
    HostLog,
    PathCopied,
)
from deployer.rollout.interrupted import await_rest
from deployer.rollout.operations import HostResult, Preflight
from deployer.rollout.patience import patience
from deployer.rollout.visit import Opener, Visit


@dataclass(frozen=True, slots=True)
class Target:
    """What one host is to have."""

    system: str
    manifest: bytes
    repair: bool = False
    """Set right what has drifted, though the system is the current one already."""
    generation: int = 0
    """An earlier generation to return to, by its number on the host."""
    goal: Goal = Goal.SWITCH
    reboot: bool = False
    """With the goal `boot`: whether the host is rebooted, and confirmed once it is back."""
    expected: Plan | None = None
    """A plan that was shown before: what is done is this, or nothing."""
    checks: tuple[Check, ...] = ()
    """Those that the controller probes before it confirms; of a configuration that was evaluated here."""


class LiveOperations:
    """`HostOperations` on real hosts. Close it to close what connections are still open."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        opener: Opener,
        sender: ClosureSender | None,
        controller: str,
        under_way: Collection[str] = (),
    ) -> None:
        """`sender` is not needed where nothing is copied (plans, returns to an earlier generation). Hosts that are `under_way`
        were left in the middle by a controller that died: what they do is waited for first."""
        self._targets = targets
        self._sender = sender
        self._controller = controller
        self._under_way = frozenset(under_way)
        self._visits = {name: Visit(name, opener) for name in targets}

    async def prepare(self, host: str) -> Preflight:
        """Connect, and compare where the host is with where it should be."""
        target = self._targets[host]
        if host in self._under_way:
            deadline = time.monotonic() + patience(Manifest.from_bytes(target.manifest), reboot=target.reboot)
            await await_rest(self._visits[host].session, self._visits[host].hang_up, deadline, reboots=target.reboot)
            await self._visits[host].hang_up()
        session = await self._visits[host].session()
        error: DeployerError | None = None
        if session.state.phase == BUSY:
            error = await self._settle(host)
            session = await self._visits[host].session()
        state = session.state
        if state.phase == BROKEN:
            error = HostBroken(host)
        lost = self._visits[host].lost = state.system if state.phase == LOST else ""
        changes = error is None and (target.repair or lost != "" or state.system != target.system)
        if error is None and state.phase == PENDING:
            changes = await self._differs_from_next_boot(session, target)
        if error is None and not changes:
            await self._visits[host].hang_up()
        return Preflight(host, state, target.system, changes, error)

    async def _settle(self, host: str) -> DeployerError | None:
        """Have a host end what nobody drives any more; where somebody does, what it says of who that is, and until when."""
        try:
            await (await self._visits[host].session()).settle()
        except HostRefused as refused:
            return refused
        await self._visits[host].hang_up()  # its state line is from before
        return None

    @staticmethod
    async def _differs_from_next_boot(session: HostSession, target: Target) -> bool:
        """Whether a host whose next boot brings another generation than its current one is to be changed."""
        differs = session.state.system != target.system
        if target.goal is not Goal.BOOT or not differs or target.reboot:
            return differs or target.repair or target.goal.survives_reboot
        status = await session.status()
        return {generation.number: generation.system for generation in status.generations}.get(status.next_boot) != target.system

    async def plan(self, host: str) -> Plan:
        """What the activation would do, as the host itself says. Raises `PlanRefused` where it would refuse."""
        visit, target = self._visits[host], self._targets[host]
        if target.goal is Goal.PUSH:
            action = Action("store", "add", target.system, "it is copied, and not activated")
            return Plan(target.system, (await self._visits[host].session()).state.system, 0, (action,))
        if visit.plan is None:
            session = await self._visits[host].session()
            repair = self._repairs(host)
            visit.plan = await session.plan(
                target.system, target.manifest, repair=repair, generation=target.generation, goal=target.goal
            )
        if visit.plan.problems:
            raise PlanRefused(host, visit.plan.problems)
        if target.expected is not None and not _same(target.expected, visit.plan):
            raise PlanChanged(host)
        return visit.plan

    async def deploy(self, host: str, on_event: EventSink) -> HostResult:
        """Plan, copy, activate, and confirm or see it rolled back."""
        target, visit = self._targets[host], self._visits[host]
        if visit.lost:
            await self._copy(host, on_event)
            visit.plan = None  # with its store back, the host can say all that is to be set right
        if target.goal is Goal.PUSH:
            copied = await self._copy(host, on_event)
            held = await (await self._visits[host].session()).push(target.system)
            return HostResult(HostOutcome.PUSHED if copied or held else HostOutcome.UNCHANGED, system=target.system)
        plan = await self.plan(host)
        if not plan.actions and plan.previous == target.system and not visit.lost:
            return HostResult(HostOutcome.UNCHANGED, plan.generation, target.system)
        probing = asyncio.create_task(red_now(target.checks))
        try:
            await self._copy(host, on_event)
            await self._renew_interpreter(host, on_event)
            red_before = await probing
        finally:
            probing.cancel()
        session = await self._visits[host].session()
        token = secrets.token_hex(32)
        activation = Activation(
            system=target.system,
            transaction=secrets.token_hex(16),
            controller=self._controller,
            token_sha256=token_digest(token),
            previous=plan.previous,
            epoch=session.state.epoch + 1,
            generation=target.generation,
            repair=self._repairs(host),
            goal=str(target.goal),
            reboot=target.reboot,
            actions=plan.actions,
            exact=True,
        )
        manifest = Manifest.from_bytes(target.manifest)
        return await Activating(visit, activation, token, manifest, on_event).run(target.checks, red_before)

    async def rollback(self, host: str, to_generation: int, on_event: EventSink) -> HostResult:
        """Return to an earlier generation, with the same transaction as any other change; 0: leave the host as it was found."""
        target = self._targets[host]
        await self._visits[host].hang_up()
        async with await self._visits[host].fresh() as session:
            status = await session.status()
            if status.staged:
                await session.unstage()
            if to_generation == 0:
                await session.uninstall(dry_run=False)
                return HostResult(HostOutcome.RETURNED)
            if status.generation == to_generation:
                return HostResult(HostOutcome.RETURNED, status.generation, status.system)
            recorded = {generation.number: generation.system for generation in status.generations}
            if to_generation not in recorded:
                raise GenerationMissing(host, to_generation, tuple(sorted(recorded)))
        token = secrets.token_hex(32)
        activation = Activation(
            system=recorded[to_generation],
            transaction=secrets.token_hex(16),
            controller=self._controller,
            token_sha256=token_digest(token),
            previous=status.system,
            epoch=status.epoch + 1,
            generation=to_generation,
            goal=str(target.goal if target.reboot or target.goal is Goal.TEST else Goal.SWITCH),
            reboot=target.reboot,
        )
        self._visits[host].seen = 0
        manifest = Manifest.from_bytes(target.manifest)
        result = await Activating(self._visits[host], activation, token, manifest, on_event).run()
        if result.outcome is HostOutcome.CONFIRMED:
            return HostResult(HostOutcome.RETURNED, result.generation, result.system)
        return result

    def _repairs(self, host: str) -> bool:
        target = self._targets[host]
        return target.repair or (target.goal.activates_now and self._visits[host].lost == target.system)

    async def close(self) -> None:
        """Close every connection that is still open."""
        await asyncio.gather(*(visit.hang_up() for visit in self._visits.values()), return_exceptions=True)

    async def _copy(self, host: str, on_event: EventSink) -> int:
        """How many paths it brought."""
        target = self._targets[host]
        if self._sender is None or target.generation:
            return 0
        started = time.monotonic()
        session = await self._visits[host].session()
        copied = await self._sender.send(session, target.system, _telling(host, on_event))
        if copied.paths:
            seconds = time.monotonic() - started
            on_event(ClosureCopied(host, bytes=copied.bytes, paths=copied.paths, seconds=round(seconds, 3)))
        return copied.paths

    async def _renew_interpreter(self, host: str, on_event: EventSink) -> None:
        """Bring the Python that is pinned now to a host that was brought an older one, which it keeps where ours can't be had."""
        if self._sender is None or self._targets[host].generation:
            return
        session = await self._visits[host].session()
        try:
            newer = await session.newer_interpreter()
            if newer is not None:
                await self._sender.send(session, newer.path, _telling(host, on_event))
                await session.adopt(newer)
        except ConversationBroken:
            raise
        except DeployerError as error:
            first = error.errors[0] if isinstance(error, ManyErrors) else error
            on_event(HostLog(host, line=f"it keeps the Python that it was brought before: {first.message}"))


class GenerationMissing(DeploymentError):
    """The host has no such generation any more."""

    host: str
    generation: int
    known: tuple[int, ...]

    @property
    def message(self) -> str:
        """Which it has."""
        return f"it has no generation {self.generation}; it has {', '.join(map(str, self.known)) or 'none'}"

    @property
    def remedy(self) -> str:
        """How to see them."""
        return f"Choose one of those: `deployer status --on {self.host}` lists them."


def _telling(host: str, on_event: EventSink) -> Callable[[str, int], None]:
    """What a copy tells of each path."""
    return lambda path, size: on_event(PathCopied(host, path=path, bytes=size))


def _same(expected: Plan, found: Plan) -> bool:
    return (expected.system, expected.previous, expected.actions) == (found.system, found.previous, found.actions)
