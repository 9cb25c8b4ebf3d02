"""One activation, as the controller sees it: begun, followed over any number of connections, confirmed or seen to go back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from deployer.copy.errors import ConversationBroken, HostRefused
from deployer.errors import DeploymentError, JsonValue, NeedsPersonError
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
)
from deployer.history import HostOutcome
from deployer.rollout import rebooting
from deployer.rollout.controller_checks import turn_green
from deployer.rollout.errors import HostBroken
from deployer.rollout.events import ActionDone, CheckReported, EventSink, HostLog, HostPhase
from deployer.rollout.operations import HostResult
from deployer.rollout.patience import patience
from deployer.rollout.rebooting import NotTried
from deployer.rollout.visit import Visit

SILENCE: Final = 15.0
"""Seconds without a word from an activation before we ask again over a fresh connection: the old one may be dead. A host that
works for longer than that says every few seconds that it lives."""
REBOOTING: Final = "rebooting"
"""What is told of a host between two boots, as of a state of its transaction."""
PAUSE: Final = 1.0
"""Seconds between two attempts to reach a host that is in the middle of an activation."""


class Activating:
    """An activation of one host, from the request to its end."""

    def __init__(self, visit: Visit, activation: Activation, token: str, manifest: Manifest, on_event: EventSink) -> None:
        """The time for it begins now; `manifest` says how long it is. `token` confirms it."""
        self._visit, self._activation, self._token = visit, activation, token
        self._manifest, self._on_event = manifest, on_event
        self._deadline = time.monotonic() + patience(manifest, reboot=activation.reboot)

    async def run(self, checks: Sequence[Check] = (), red_before: Collection[str] = ()) -> HostResult:
        """To its end. `checks` are those that the controller probes before it confirms; `red_before` names those red by then."""
        host, activation, manifest, on_event = self._visit.host, self._activation, self._manifest, self._on_event
        outcome, seen = await self._follow(), -1
        if outcome.state == STAGED:
            on_event(HostPhase(host, state=STAGED))
            if activation.reboot:
                outcome = await self._reboot()
        while outcome.state == HEALTHY and outcome.restarts > seen:
            seen = outcome.restarts
            seconds = min(outcome.confirm_seconds, manifest.timing.confirm_timeout)  # the host's word for it may be any number
            until = time.monotonic() + seconds
            red = await self._look_from_here(checks, red_before, seconds / 2)
            if red:
                outcome = await self._take_back(red, seen)
                continue
            confirmed = await self._confirm(until - time.monotonic())
            outcome = confirmed or await self._follow(unconfirmed=seen)
        if outcome.reboots:
            on_event(HostPhase(host, state=REBOOTING))
            await self._visit.hang_up()
            await self._await_boot(self._visit.boot_id)
        await self._visit.hang_up()
        return _result(host, outcome)

    async def _look_from_here(self, checks: Sequence[Check], red_before: Collection[str], seconds: float) -> str:
        """What is red from the controller, in words; empty: nothing. The time left is for the confirmation."""
        results = await turn_green(checks, seconds, red_before, self._report)
        return "; ".join(f"{one.name} (from the controller): {one.message}" for one in results if not one.healthy)

    def _report(self, result: CheckResult) -> None:
        self._on_event(CheckReported(self._visit.host, result=result))

    async def _take_back(self, reason: str, restarts: int) -> Outcome:
        """Have the host go back now. One that can't be told does so when nobody confirms."""
        try:
            await (await self._visit.session()).cancel(self._activation.transaction, reason)
        except DeploymentError:
            await self._visit.hang_up()
        outcome = await self._follow(unconfirmed=restarts)
        return dataclasses.replace(outcome, reason=reason) if outcome.state == ROLLED_BACK else outcome

    async def _reboot(self) -> Outcome:
        """Into what was staged, up to the point where the host waits for its confirmation or has gone back."""
        before = await rebooting.boot_id_of(await self._visit.session())
        self._on_event(HostPhase(self._visit.host, state=REBOOTING))
        await rebooting.begin_reboot(await self._visit.session(), self._activation.transaction)
        await self._visit.hang_up()
        self._visit.boot_id = await self._await_boot(before)
        outcome = await self._follow(unconfirmed=-1)
        if outcome.state == STAGED:
            await (await self._visit.session()).unstage()
            raise NotTried(self._visit.host)
        return outcome

    async def _await_boot(self, before: str) -> str:
        visit = self._visit
        return await rebooting.await_boot(visit.session, visit.hang_up, before, self._deadline, visit.host)

    async def _follow(self, *, unconfirmed: int | None = None) -> Outcome:
        """Until the host waits for its confirmation or has ended; over as many connections as that takes.

        Where it could not be confirmed after so many restarts as `unconfirmed` says, that waiting is waited out: the next one
        begins with one restart more.
        """
        visit, begun = self._visit, unconfirmed is not None
        while True:
            pass_on = self._passing_on()
            try:
                session = await visit.session()
                # One that says that it lives, and does nothing else, is not waited for without end either.
                async with asyncio.timeout(max(self._deadline - time.monotonic(), PAUSE)):
                    if begun:
                        outcome = await session.attach(self._activation.transaction, pass_on, silence=SILENCE)
                    else:
                        begun = True
                        outcome = await session.activate(self._activation, pass_on, silence=SILENCE)
                waited_out = unconfirmed is None or outcome.restarts > unconfirmed
                if outcome.state != HEALTHY or waited_out or time.monotonic() > self._deadline:
                    return outcome
                await asyncio.sleep(PAUSE)
            except HostRefused:
                raise
            except (DeploymentError, TimeoutError) as error:
                await visit.hang_up()
                if time.monotonic() > self._deadline or isinstance(error, TimeoutError):
                    why = error.message if isinstance(error, DeploymentError) else "it has not ended in its time"
                    raise ConversationBroken(visit.host, "activate", why) from error
                await asyncio.sleep(PAUSE)

    def _passing_on(self) -> Callable[[Mapping[str, JsonValue]], None]:
        """For one connection: it tells all events from the beginning, and those that another has told are left out."""
        count = 0

        def pass_on(event: Mapping[str, JsonValue]) -> None:
            nonlocal count
            count += 1
            if count > self._visit.seen:
                self._visit.seen = count
                _translate(self._visit.host, event, self._on_event)

        return pass_on

    async def _confirm(self, seconds: float) -> Outcome | None:
        """Confirm over a fresh connection; nothing where the host could not be reached in time, or has gone back."""
        deadline = time.monotonic() + max(seconds, PAUSE)
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(deadline - time.monotonic(), PAUSE)):
                    try:
                        async with await self._visit.fresh() as fresh:
                            return await fresh.confirm(self._activation.transaction, self._token)
                    except HostRefused:
                        await self._visit.hang_up()
                        return None
                    except (NeedsPersonError, DeploymentError):
                        await asyncio.sleep(PAUSE)
        await self._visit.hang_up()
        return None


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
