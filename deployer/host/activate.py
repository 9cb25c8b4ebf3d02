"""The driver: does the work of the journal's state, records how it ended, and goes on until the transaction stands still.

Whoever calls holds the lock. `run` is the service's way from the beginning; `take_over` is everybody else's, from wherever
the journal says that the last driver was cut off. Both end in the same loop.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Callable, Dict, Final, List, Mapping, Tuple

from deployer.errors import DeployerError
from deployer.formats.limits import Limits
from deployer.formats.messages import (
    ARMED,
    CHECKING,
    CONFIRMED,
    HEALTHY,
    PREPARED,
    RESTARTED,
    ROLLBACK_FAILED,
    ROLLED_BACK,
    ROLLING_BACK,
    SWITCHING,
)
from deployer.formats.state import BROKEN, PENDING, SETTLED, StateLine
from deployer.host import deadman
from deployer.host.checks import Baseline, take_baseline
from deployer.host.disk import Disk
from deployer.host.lost import manifest_of
from deployer.host.machine import Machine
from deployer.host.next_boot import boot_runtime, read_next_boot, settle_next_boot
from deployer.host.paths import (
    BEFORE,
    BOOTED,
    CANCELLATION,
    CONFIRMATION,
    GOOD,
    JOURNAL,
    KEPT,
    LEDGER,
    NEXT_LEDGER,
    ORIGINALS,
    PROFILE,
    PUSHED,
    QUARANTINE,
    RESERVE,
    STATE_DIRECTORY,
    TRANSACTION,
)
from deployer.host.service import start_after_boot
from deployer.host.standing import PRIVATE, read_cancellation, read_confirmation, read_ledger, read_request, write_state
from deployer.host.switching import Switch
from deployer.host.transaction import (
    BACK,
    BOOT,
    TEST,
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


def settle(machine: Machine, record: Record) -> None:
    """Tidy up after a transaction that stands still. As often as it takes; the boot unit goes last."""
    disk, profile = machine.disk, machine.profile
    if not record.is_terminal:
        return
    _sweep(disk)
    if disk.entry(JOURNAL) is None:
        return
    if record.state == CONFIRMED:
        with contextlib.suppress(FileNotFoundError):
            disk.write(LEDGER, disk.read(NEXT_LEDGER), PRIVATE)
        _note_good(disk, record)
    elif record.state == ROLLED_BACK and record.transaction:
        if record.fresh:
            profile.drop(record.next_generation)
        _quarantine(disk, record)
    settle_next_boot(disk, record)
    if record.state != ROLLBACK_FAILED:
        disk.remove(NEXT_LEDGER)
        disk.remove(RESERVE)
        _sweep_originals(disk)
        machine.store.hold(roots(machine))
    current, following = profile.current(), read_next_boot(disk)
    at_rest = SETTLED if following is None else PENDING
    phase = BROKEN if record.state == ROLLBACK_FAILED else at_rest
    write_state(disk, StateLine(phase, current.number, current.system, record.epoch))
    if record.state == ROLLED_BACK and record.reboot and record.boot_id == machine.clock.now().boot_id:
        machine.systemd.request_reboot()  # before the switch is disarmed, so that somebody else does it where we are cut off here
    if following is None:
        deadman.disarm(machine)
    else:
        deadman.stand_by(machine, boot_runtime(machine, following))


def _note_good(disk: Disk, record: Record) -> None:
    """What is to be there after the next boot; a test is not."""
    pushed, in_trial = disk.entry(PUSHED), record.repair and read_next_boot(disk) is not None
    if not record.next:
        disk.remove(GOOD)
    elif record.goal != TEST and not in_trial:
        disk.link(GOOD, record.next)
    if pushed is not None and pushed.target == record.next:
        disk.remove(PUSHED)


def settle_again(machine: Machine, record: Record) -> None:
    """Tidy up after a driver that is gone. What was read of it may be in memory only, where its last sync failed: so it is
    recorded once more, and on the disk, before anything follows from it."""
    if machine.disk.entry(JOURNAL) is not None:
        machine.journal.write(record)
    settle(machine, record)


def is_left_over(machine: Machine) -> bool:
    """Whether a request was cut off while it prepared a transaction."""
    return machine.disk.entry(RESERVE) is not None or bool(_half_written(machine.disk))


def recovering_runtime(machine: Machine, record: Record) -> str:
    """What undoes a transaction: the code of what it leads back to, where that brings any."""
    return machine.store.runtime(record.previous) or machine.store.runtime(record.next)


def roots(machine: Machine, following: str = "") -> Dict[str, str]:
    """The store paths that the collector must leave alone: all generations, the last good one, and the one to come."""
    held = {f"generation-{number}": system for number, system in machine.profile.generations().items()}
    good = machine.disk.entry(GOOD)
    if good is not None and good.target:
        held["good"] = good.target
    pushed = machine.disk.entry(PUSHED)
    if pushed is not None and pushed.target not in held.values():
        held["pushed"] = pushed.target
    if following:
        held["next"] = following
    return held


def _quarantine(disk: Disk, record: Record) -> None:
    name = record.next.rpartition("/")[2]
    if name:
        note = {"system": record.next, "transaction": record.transaction, "reason": record.reason}
        disk.write(f"{QUARANTINE}/{name}", json.dumps(note, sort_keys=True).encode() + b"\n", PRIVATE)


def _sweep(disk: Disk) -> None:
    """Remove what drivers and requests that were cut off have left half written."""
    for path in _half_written(disk):
        disk.remove(path)


def _half_written(disk: Disk) -> List[str]:
    """Connections write their words to a transaction without the lock: theirs are left alone."""
    places = (STATE_DIRECTORY, PROFILE, ORIGINALS, KEPT, QUARANTINE, TRANSACTION, BEFORE, BOOTED.rpartition("/")[0])
    return [path for place in places for path in disk.half_written(place, but=(CONFIRMATION, CANCELLATION))]


def _sweep_originals(disk: Disk) -> None:
    needed = {owned.original.copy for owned in read_ledger(disk).etc.values() if owned.original is not None}
    for name in disk.names(ORIGINALS):
        if f"{ORIGINALS}/{name}" not in needed:
            disk.remove(f"{ORIGINALS}/{name}")
