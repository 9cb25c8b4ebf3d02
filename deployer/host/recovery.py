"""What the dead-man's timer and the boot unit do."""

from __future__ import annotations

import dataclasses
from typing import Final

from deployer.formats.frames import FrameRefused
from deployer.formats.messages import CONFIRMED, HEALTHY, ROLLBACK_FAILED, ROLLING_BACK
from deployer.host import deadman
from deployer.host.activate import Driver, settle
from deployer.host.disk import PathRefused
from deployer.host.journal import JournalDamaged
from deployer.host.lock import locked
from deployer.host.machine import ACTIVATION, Machine
from deployer.host.paths import GOOD, JOURNAL, NEXT_LEDGER
from deployer.host.standing import read_request
from deployer.host.transaction import UNINSTALLING, Record, is_overdue

_QUICK: Final = 2.0
_AFTER_KILL: Final = 30.0
_ROLLBACK_TIMEOUT: Final = 300.0


def recover_from_timer(machine: Machine) -> int:
    """The deadline is over, or the activation's service died: end the transaction. A rollback under way is given its time."""
    record = _read(machine)
    if record.state == UNINSTALLING or (not record.transaction and record.is_terminal):
        deadman.disarm(machine)
        return 0
    patience = _ROLLBACK_TIMEOUT if record.is_terminal or record.state == ROLLING_BACK else _QUICK
    for timeout in (patience, _AFTER_KILL):
        with locked(machine.disk, timeout) as ours:
            if ours:
                return _finish(machine, booting=False)
        machine.systemd.kill(ACTIVATION)
    return 1


def recover_from_boot(machine: Machine) -> int:
    """Before any unit of ours starts."""
    with locked(machine.disk, _AFTER_KILL) as ours:
        return _finish(machine, booting=True) if ours else 1


def _finish(machine: Machine, *, booting: bool) -> int:
    record = _read(machine)
    if record.state == UNINSTALLING:
        return 0
    if record.is_terminal:
        settle(machine, record)
        return 0
    if booting or record.boot_id != machine.clock.now().boot_id:
        reason = f"the host was restarted while the transaction was {record.state}"
    elif record.state == HEALTHY and is_overdue(record, machine.clock.now()):
        reason = "no confirmation came over a fresh connection in time"
    elif is_overdue(record, machine.clock.now()):
        reason = f"its time was over while it was {record.state}"
    else:
        reason = f"the activation was cut off while it was {record.state}"
    ended = Driver(machine, booting=booting).take_over(reason)
    return 1 if ended.state == ROLLBACK_FAILED else 0


def _read(machine: Machine) -> Record:
    """The record; where both slots are unreadable, what can be told from the links that are left."""
    try:
        return machine.journal.read()
    except JournalDamaged:
        record = rebuild(machine)
        machine.disk.remove(JOURNAL)
        machine.journal.create()
        machine.journal.write(record)
        return record


def rebuild(machine: Machine) -> Record:
    """Confirmed where the good system is current; otherwise back to what was there before."""
    current, good = machine.profile.current(), machine.disk.entry(GOOD)
    try:
        asked, plan = read_request(machine.disk)
    except (OSError, FrameRefused, PathRefused, KeyError):
        return Record()
    record = Record(
        state=ROLLING_BACK,
        transaction=asked.transaction,
        controller=asked.controller,
        epoch=asked.epoch,
        previous=plan.previous,
        previous_generation=next((n for n, s in machine.profile.generations().items() if s == plan.previous), 0),
        next=asked.system,
        next_generation=current.number,
        token_sha256=asked.token_sha256,
        attempts=1,
        reason="the journal was damaged",
        boot_id=machine.clock.now().boot_id,
    )
    pending = machine.disk.entry(NEXT_LEDGER) is not None
    if good is not None and good.target == current.system == asked.system and not pending:
        return dataclasses.replace(record, state=CONFIRMED, reason="")
    return record
