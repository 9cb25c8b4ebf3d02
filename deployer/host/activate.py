"""The driver: does the work of the journal's state, records how it ended, and goes on until the transaction stands still.

Whoever calls holds the lock. `run` is the service's way from the beginning; `take_over` is everybody else's, from wherever
the journal says that the last driver was cut off. Both end in the same loop.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Callable, Final, Mapping, Tuple

from deployer.errors import DeployerError
from deployer.formats.limits import Limits
from deployer.formats.messages import (
    ARMED,
    CHECKING,
    HEALTHY,
    PREPARED,
    RESTARTED,
    ROLLED_BACK,
    ROLLING_BACK,
    SWITCHING,
)
from deployer.host import deadman
from deployer.host.checks import Baseline, take_baseline
from deployer.host.lost import manifest_of
from deployer.host.machine import Machine
from deployer.host.paths import CANCELLATION, CONFIRMATION, RESERVE
from deployer.host.service import start_after_boot
from deployer.host.settling import settle
from deployer.host.standing import read_cancellation, read_confirmation, read_ledger, read_request
from deployer.host.switching import Switch
from deployer.host.transaction import (
    BACK,
    BOOT,
    UNINSTALLING,
    Event,
    Record,
    advance,
    is_overdue,
    is_resuming,
    refuse_confirmation,
)
from deployer.host.verdict import failed_units, judge, mark_journal

_POLL: Final = 0.05
_STEP = Tuple[Event, str]


class Driver:
    """Drives the transaction in the journal to a standstill, or through the boot."""

    def __init__(self, machine: Machine, *, booting: bool = False) -> None:
        """At boot, units are queued and not waited for."""
        self._machine = machine
        self._booting = booting
        self._before = Baseline()

    def run(self, transaction: str) -> Record:
        """Drive the transaction that was prepared under this name, or that the host was restarted with; do nothing where
        somebody else has ended it."""
        record = self._machine.journal.read()
        begins = record.state == PREPARED or is_resuming(record, self._machine.clock.now())
        return self._drive(record) if begins and record.transaction == transaction else record

    def take_over(self, reason: str, event: Event = Event.INTERRUPT) -> Record:
        """Finish what a driver that is gone left behind. As often as it takes."""
        record = self._machine.journal.read()
        following = advance(record, event, reason)
        if following != record:
            following = self._enter(following)
        return self._drive(following)

    def confirm(self) -> Record:
        """Commit a healthy transaction whose driver is gone. The caller has judged the token."""
        return self._drive(self._enter(advance(self._machine.journal.read(), Event.GO_ON)))

    # -- the loop --------------------------------------------------------------------------------------------------------

    def _drive(self, record: Record) -> Record:
        while not record.is_terminal and record.state != UNINSTALLING:
            if self._booting and record.state == RESTARTED:
                following = self._hand_over(record)
                if following == record:
                    return record
                record = following
            else:
                record = self.step(record)
        settle(self._machine, record)
        return record

    def step(self, record: Record) -> Record:
        """Do the work of one state, and enter the next."""
        work: Mapping[str, Callable[[Record], _STEP]] = {
            PREPARED: lambda record: (Event.GO_ON, ""),
            ARMED: self._arm,
            SWITCHING: self._switch,
            CHECKING: self._check,
            HEALTHY: self._await_confirmation,
            RESTARTED: lambda record: (Event.GO_ON, ""),
            ROLLING_BACK: self._roll_back,
        }
        return self._enter(advance(record, *_outcome(work[record.state], record)))

    def _hand_over(self, record: Record) -> Record:
        """At boot: set the switch again, and leave the rest to the service, which starts once the host has booted. The same
        record where that is so; the next one where it failed."""
        event, reason = _outcome(self._arm_again, record)
        return record if event is Event.GO_ON else self._enter(advance(record, event, reason))

    def _enter(self, record: Record) -> Record:
        """Record a state durably, before its work begins."""
        now = self._machine.clock.now()
        seconds = {ARMED: 60.0}.get(record.state, 0.0)
        if record.state in (SWITCHING, CHECKING, HEALTHY, RESTARTED):
            limits = self._limits(record)
            seconds = {
                SWITCHING: limits.switching,
                CHECKING: limits.checking,
                HEALTHY: limits.confirming,
                RESTARTED: limits.booting,
            }[record.state]
        if self._booting and record.state == ROLLED_BACK:
            record = dataclasses.replace(record, reboot=False)  # this boot goes on with what there was before
        record = dataclasses.replace(record, boot_id=now.boot_id, deadline=round(now.seconds + seconds, 3))
        self._machine.journal.write(record)
        self._machine.events.state(record.state)
        return record

    # -- the work of each state ------------------------------------------------------------------------------------------

    def _arm(self, record: Record) -> _STEP:
        deadman.arm(self._machine, recovering_runtime(self._machine, record), record, self._limits(record).total)
        return Event.GO_ON, ""

    def _arm_again(self, record: Record) -> _STEP:
        if self._is_cancelled():
            return Event.FAIL, read_cancellation(self._machine.disk)
        self._machine.disk.remove(CONFIRMATION)  # one of the boot before: only a fresh connection of this one counts
        deadman.arm(self._machine, recovering_runtime(self._machine, record), record, self._limits(record).total_again)
        start_after_boot(self._machine, record)
        return Event.GO_ON, ""

    def _switch(self, record: Record) -> _STEP:
        machine = self._machine
        if self._booting:
            plan = read_request(machine.disk)[1]
            self._switch_of(record).forward(plan, booting=True, restore_accounts=not record.next)
            return (Event.COME_UP if record.goal == BOOT else Event.GO_ON), ""
        checks = machine.store.manifest(record.next).checks
        mark_journal(machine, checks)
        self._before = take_baseline(checks, machine.systemd, should_stop=self._is_cancelled)
        if self._is_cancelled():
            return Event.FAIL, read_cancellation(machine.disk)
        plan = read_request(machine.disk)[1]
        self._switch_of(record).forward(plan)
        return Event.GO_ON, ""

    def _check(self, record: Record) -> _STEP:
        if record.goal == BACK:
            return Event.GO_ON, ""
        manifest = self._machine.store.manifest(record.next)
        if record.goal == BOOT:
            failed = failed_units(self._machine, manifest)
            if failed:
                return Event.FAIL, f"since the boot: {failed}"
        verdict = judge(self._machine, manifest, self._before, should_stop=self._is_cancelled)
        return (Event.GO_ON, "") if verdict.healthy else (Event.FAIL, verdict.reason)

    def _await_confirmation(self, record: Record) -> _STEP:
        machine = self._machine
        if record.goal in (BOOT, BACK) and not record.token_sha256:
            return Event.GO_ON, ""  # nobody is there to confirm it: the host's own checks have decided
        while True:
            if self._is_cancelled():
                return Event.FAIL, read_cancellation(machine.disk)
            confirmation = read_confirmation(machine.disk)
            now = machine.clock.now()
            if confirmation is not None:
                refused = refuse_confirmation(record, confirmation[0], confirmation[1], now)
                if refused is None:
                    return Event.GO_ON, ""
                machine.disk.remove(CONFIRMATION)
            if is_overdue(record, now):
                return Event.FAIL, "no confirmation came over a fresh connection in time"
            machine.clock.sleep(_POLL)

    def _roll_back(self, record: Record) -> _STEP:
        self._machine.disk.remove(RESERVE)
        if record.attempts > 1:
            self._machine.clock.sleep(1.0)
        self._switch_of(record).back(booting=self._booting or record.reboot)
        return Event.GO_ON, ""

    # -- details ---------------------------------------------------------------------------------------------------------

    def _switch_of(self, record: Record) -> Switch:
        store = self._machine.store
        return Switch(
            self._machine,
            record,
            manifest_of(self._machine, record.previous),
            store.manifest(record.next),
            read_ledger(self._machine.disk),
        )

    def _limits(self, record: Record) -> Limits:
        previous = None
        with contextlib.suppress(DeployerError):  # that nothing tells of it ends the switch, where it is needed
            previous = manifest_of(self._machine, record.previous)
        return Limits.of(self._machine.store.manifest(record.next), previous)

    def _is_cancelled(self) -> bool:
        return self._machine.disk.entry(CANCELLATION) is not None


def _outcome(work: Callable[[Record], _STEP], record: Record) -> _STEP:
    try:
        return work(record)
    except DeployerError as error:
        return Event.FAIL, error.message
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        return Event.FAIL, f"{type(error).__name__}: {error}"


def recovering_runtime(machine: Machine, record: Record) -> str:
    """What undoes a transaction: the code of what it leads back to, where that brings any."""
    return machine.store.runtime(record.previous) or machine.store.runtime(record.next)
