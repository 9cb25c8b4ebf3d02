"""The operations of a rollout on real hosts: connect, copy, activate, confirm over a fresh connection, go back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from deployer.copy import ClosureSender, HostSession
from deployer.copy.errors import ConversationBroken, HostRefused
from deployer.copy.session import token_digest
from deployer.errors import DeployerError, DeploymentError, JsonValue, ManyErrors, NeedsPersonError
from deployer.formats.goals import Goal
from deployer.formats.manifest import Check, Manifest
from deployer.formats.messages import (
    CONFIRMED,
    HEALTHY,
    ROLLBACK_FAILED,
    ROLLED_BACK,
    STAGED,
    Action,
    Activation,
    CheckResult,
    Outcome,
    Plan,
)
from deployer.formats.state import BROKEN, BUSY, LOST, PENDING
from deployer.history import HostOutcome
from deployer.rollout import rebooting
from deployer.rollout.controller_checks import red_now, turn_green
from deployer.rollout.errors import HostBroken, PlanChanged, PlanRefused
from deployer.rollout.events import (
    ActionDone,
    CheckReported,
    ClosureCopied,
    EventSink,
    HostLog,
    HostPhase,
    PathCopied,
)
from deployer.rollout.interrupted import await_rest
from deployer.rollout.operations import HostResult, Preflight
from deployer.rollout.patience import patience
from deployer.rollout.rebooting import NotTried

SILENCE: Final = 15.0
"""Seconds without a word from an activation before we ask again over a fresh connection: the old one may be dead."""
REBOOTING: Final = "rebooting"
"""What is told of a host between two boots, as of a state of its transaction."""
PAUSE: Final = 1.0
"""Seconds between two attempts to reach a host that is in the middle of an activation."""

Opener = Callable[[str], Awaitable[HostSession]]
"""Opens a fresh connection to a host, by name."""


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


@dataclass(slots=True)
class _Visit:
    """What is known of a host while a rollout lasts."""

    session: HostSession | None = None
    plan: Plan | None = None
    boot_id: str = ""
    """Of the boot that a rollout has asked for."""
    lost: str = ""
    """Its current system, where that was gone from its store when we came: it is copied anew, and all set right."""
    seen: int = 0
    """Events of the activation that were passed on already: after a reconnection they come again."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


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
        self._open = opener
        self._sender = sender
        self._controller = controller
        self._under_way = frozenset(under_way)
        self._visits: dict[str, _Visit] = {name: _Visit() for name in targets}

    async def prepare(self, host: str) -> Preflight:
        """Connect, and compare where the host is with where it should be."""
        target = self._targets[host]
        if host in self._under_way:
            deadline = time.monotonic() + patience(Manifest.from_bytes(target.manifest), reboot=target.reboot)
            await await_rest(lambda: self._session(host), lambda: self._hang_up(host), deadline, reboots=target.reboot)
            await self._hang_up(host)
        session = await self._session(host)
        error: DeployerError | None = None
        if session.state.phase == BUSY:
            error = await self._settle(host)
            session = await self._session(host)
        state = session.state
        if state.phase == BROKEN:
            error = HostBroken(host)
        lost = self._visits[host].lost = state.system if state.phase == LOST else ""
        changes = error is None and (target.repair or lost != "" or state.system != target.system)
        if error is None and state.phase == PENDING:
            changes = await self._differs_from_next_boot(session, target)
        if error is None and not changes:
            await self._hang_up(host)
        return Preflight(host, state, target.system, changes, error)

    async def _settle(self, host: str) -> DeployerError | None:
        """Have a host end what nobody drives any more; where somebody does, what it says of who that is, and until when."""
        try:
            await (await self._session(host)).settle()
        except HostRefused as refused:
            return refused
        await self._hang_up(host)  # its state line is from before
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
            return Plan(target.system, (await self._session(host)).state.system, 0, (action,))
        if visit.plan is None:
            session = await self._session(host)
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
            held = await (await self._session(host)).push(target.system)
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
        session = await self._session(host)
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
        return await self._activate(host, activation, token, on_event, target.checks, red_before)

    async def rollback(self, host: str, to_generation: int, on_event: EventSink) -> HostResult:
        """Return to an earlier generation, with the same transaction as any other change; 0: leave the host as it was found."""
        target = self._targets[host]
        await self._hang_up(host)
        async with await self._open(host) as session:
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
        result = await self._activate(host, activation, token, on_event)
        if result.outcome is HostOutcome.CONFIRMED:
            return HostResult(HostOutcome.RETURNED, result.generation, result.system)
        return result

    def _repairs(self, host: str) -> bool:
        target = self._targets[host]
        return target.repair or (target.goal.activates_now and self._visits[host].lost == target.system)

    async def close(self) -> None:
        """Close every connection that is still open."""
        await asyncio.gather(*(self._hang_up(name) for name in self._visits), return_exceptions=True)

    async def _copy(self, host: str, on_event: EventSink) -> int:
        """How many paths it brought."""
        target = self._targets[host]
        if self._sender is None or target.generation:
            return 0
        started = time.monotonic()
        session = await self._session(host)
        copied = await self._sender.send(session, target.system, _telling(host, on_event))
        if copied.paths:
            seconds = time.monotonic() - started
            on_event(ClosureCopied(host, bytes=copied.bytes, paths=copied.paths, seconds=round(seconds, 3)))
        return copied.paths

    async def _renew_interpreter(self, host: str, on_event: EventSink) -> None:
        """Bring the Python that is pinned now to a host that was brought an older one, which it keeps where ours can't be had."""
        if self._sender is None or self._targets[host].generation:
            return
        session = await self._session(host)
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

    async def _activate(
        self,
        host: str,
        activation: Activation,
        token: str,
        on_event: EventSink,
        checks: Sequence[Check] = (),
        red_before: Collection[str] = (),
    ) -> HostResult:
        manifest = Manifest.from_bytes(self._targets[host].manifest)
        deadline = time.monotonic() + patience(manifest, reboot=activation.reboot)
        outcome, seen = await self._follow(host, activation, deadline, on_event), -1
        if outcome.state == STAGED:
            on_event(HostPhase(host, state=STAGED))
            if activation.reboot:
                outcome = await self._reboot(host, activation, deadline, on_event)
        while outcome.state == HEALTHY and outcome.restarts > seen:
            seen = outcome.restarts
            seconds = min(outcome.confirm_seconds, manifest.timing.confirm_timeout)  # the host's word for it may be any number
            until = time.monotonic() + seconds
            red = await self._look_from_here(host, checks, red_before, seconds / 2, on_event)
            if red:
                outcome = await self._take_back(host, activation, red, deadline, on_event, seen)
                continue
            confirmed = await self._confirm(host, activation.transaction, token, until - time.monotonic())
            outcome = confirmed or await self._follow(host, activation, deadline, on_event, unconfirmed=seen)
        if outcome.reboots:
            on_event(HostPhase(host, state=REBOOTING))
            await self._hang_up(host)
            await self._await_boot(host, self._visits[host].boot_id, deadline)
        await self._hang_up(host)
        return _result(host, outcome)

    async def _look_from_here(
        self, host: str, checks: Sequence[Check], red_before: Collection[str], seconds: float, on_event: EventSink
    ) -> str:
        """What is red from the controller, in words; empty: nothing. The time left is for the confirmation."""
        results = await turn_green(checks, seconds, red_before, lambda result: on_event(CheckReported(host, result=result)))
        return "; ".join(f"{one.name} (from the controller): {one.message}" for one in results if not one.healthy)

    async def _take_back(
        self, host: str, activation: Activation, reason: str, deadline: float, on_event: EventSink, restarts: int
    ) -> Outcome:
        """Have the host go back now. One that can't be told does so when nobody confirms."""
        try:
            await (await self._session(host)).cancel(activation.transaction, reason)
        except DeploymentError:
            await self._hang_up(host)
        outcome = await self._follow(host, activation, deadline, on_event, unconfirmed=restarts)
        return dataclasses.replace(outcome, reason=reason) if outcome.state == ROLLED_BACK else outcome

    async def _reboot(self, host: str, activation: Activation, deadline: float, on_event: EventSink) -> Outcome:
        """Into what was staged, up to the point where the host waits for its confirmation or has gone back."""
        before = await rebooting.boot_id_of(await self._session(host))
        on_event(HostPhase(host, state=REBOOTING))
        await rebooting.begin_reboot(await self._session(host), activation.transaction)
        await self._hang_up(host)
        self._visits[host].boot_id = await self._await_boot(host, before, deadline)
        outcome = await self._follow(host, activation, deadline, on_event, unconfirmed=-1)
        if outcome.state == STAGED:
            await (await self._session(host)).unstage()
            raise NotTried(host)
        return outcome

    async def _await_boot(self, host: str, before: str, deadline: float) -> str:
        return await rebooting.await_boot(lambda: self._session(host), lambda: self._hang_up(host), before, deadline, host)

    async def _follow(
        self, host: str, activation: Activation, deadline: float, on_event: EventSink, *, unconfirmed: int | None = None
    ) -> Outcome:
        """Until the host waits for its confirmation or has ended; over as many connections as that takes.

        Where it could not be confirmed after so many restarts as `unconfirmed` says, that waiting is waited out: the next one
        begins with one restart more.
        """
        visit, begun = self._visits[host], unconfirmed is not None
        while True:
            count = 0

            def pass_on(event: Mapping[str, JsonValue]) -> None:
                nonlocal count
                count += 1
                if count > visit.seen:
                    visit.seen = count
                    _translate(host, event, on_event)

            try:
                session = await self._session(host)
                if begun:
                    outcome = await session.attach(activation.transaction, pass_on, silence=SILENCE)
                else:
                    begun = True
                    outcome = await session.activate(activation, pass_on, silence=SILENCE)
                waited_out = unconfirmed is None or outcome.restarts > unconfirmed
                if outcome.state != HEALTHY or waited_out or time.monotonic() > deadline:
                    return outcome
                await asyncio.sleep(PAUSE)
            except HostRefused:
                raise
            except DeploymentError as error:
                await self._hang_up(host)
                if time.monotonic() > deadline:
                    raise ConversationBroken(host, "activate", error.message) from error
                await asyncio.sleep(PAUSE)

    async def _confirm(self, host: str, transaction: str, token: str, seconds: float) -> Outcome | None:
        """Confirm over a fresh connection; nothing where the host could not be reached in time, or has gone back."""
        deadline = time.monotonic() + max(seconds, PAUSE)
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(deadline - time.monotonic(), PAUSE)):
                    try:
                        async with await self._open(host) as fresh:
                            return await fresh.confirm(transaction, token)
                    except HostRefused:
                        await self._hang_up(host)
                        return None
                    except (NeedsPersonError, DeploymentError):
                        await asyncio.sleep(PAUSE)
        await self._hang_up(host)
        return None

    async def _session(self, host: str) -> HostSession:
        visit = self._visits[host]
        async with visit.lock:
            if visit.session is None:
                visit.session = await self._open(host)
            return visit.session

    async def _hang_up(self, host: str) -> None:
        visit = self._visits[host]
        session, visit.session = visit.session, None
        if session is not None:
            with contextlib.suppress(DeployerError, OSError, TimeoutError):
                await session.close()


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


def _result(host: str, outcome: Outcome) -> HostResult:
    """How an activation ended. Raises `ConversationBroken` where it had not ended when the host was last heard of."""
    ended = {
        CONFIRMED: HostOutcome.CONFIRMED,
        STAGED: HostOutcome.STAGED,
        ROLLED_BACK: HostOutcome.ROLLED_BACK,
        ROLLBACK_FAILED: HostOutcome.NEEDS_PERSON,
    }
    if outcome.state not in ended:
        raise ConversationBroken(host, "activate", f"the host stopped at `{outcome.state}`")
    error = HostBroken(host) if outcome.state == ROLLBACK_FAILED else None
    return HostResult(ended[outcome.state], outcome.generation, outcome.system, outcome.reason, outcome.log, error)


def _telling(host: str, on_event: EventSink) -> Callable[[str, int], None]:
    """What a copy tells of each path."""
    return lambda path, size: on_event(PathCopied(host, path=path, bytes=size))


def _same(expected: Plan, found: Plan) -> bool:
    return (expected.system, expected.previous, expected.actions) == (found.system, found.previous, found.actions)


def _translate(host: str, event: Mapping[str, JsonValue], on_event: EventSink) -> None:
    match event:
        case {"state": str(state)}:
            on_event(HostPhase(host, state=state))
        case {"action": dict(action)}:
            on_event(ActionDone(host, action=Action.from_document(action)))
        case {"check": dict(result)}:
            told = dataclasses.replace(CheckResult.from_document(result), from_controller=False)
            on_event(CheckReported(host, result=told))
        case {"log": str(line)}:
            on_event(HostLog(host, line=line))
