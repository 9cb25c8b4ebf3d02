"""What the dead-man's timer and the boot unit do."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final, Optional

from deployer.formats.messages import HEALTHY, ROLLBACK_FAILED, ROLLING_BACK
from deployer.host import deadman
from deployer.host.activate import Driver
from deployer.host.booting import begin_next_boot
from deployer.host.journal import JournalDamaged
from deployer.host.lock import holder, locked
from deployer.host.machine import ACTIVATION, Machine
from deployer.host.paths import JOURNAL
from deployer.host.rebuilding import read_or_rebuild
from deployer.host.settling import settle_again
from deployer.host.transaction import UNINSTALLING, Event, Record, is_overdue

_QUICK: Final = 2.0
_AFTER_KILL: Final = 30.0
_EARLY_BOOT: Final = "sysinit.target"
_ROLLBACK_TIMEOUT: Final = 300.0


def recover_from_timer(machine: Machine, transaction: str = "") -> int:
    """The deadline is over, or the activation's service died: end the transaction. A rollback under way is given its time.

    Called too late, when its transaction has ended and another is under way, it leaves that one alone.
    """
    if machine.disk.entry(JOURNAL) is None:
        deadman.disarm(machine)
        return 0
    record = _look(machine)
    ending = record is not None and (record.is_terminal or record.state == ROLLING_BACK)
    first: float = _ROLLBACK_TIMEOUT if ending else _QUICK
    for patience, end_driver in ((first, _kill_service), (_QUICK, _kill_holder), (_AFTER_KILL, _leave_alone)):
        with locked(machine.disk, patience) as ours:
            if ours:
                return _finish(machine, booting=False, transaction=transaction)
        if _is_anothers(_look(machine), transaction):
            return 0
        end_driver(machine)
    return 1


def recover_from_boot(machine: Machine) -> int:
    """Before any unit of ours starts; or after that, where this failed at first and systemd tries it again."""
    booting = not machine.systemd.states([_EARLY_BOOT])[_EARLY_BOOT].is_active
    with locked(machine.disk, _AFTER_KILL) as ours:
        if not ours:
            return 1
        code = _finish(machine, booting=booting)
        if booting and code == 0:
            begin_next_boot(machine)
        return code


def _kill_service(machine: Machine) -> None:
    machine.systemd.kill(ACTIVATION)


def _leave_alone(machine: Machine) -> None:
    """The timer comes again."""


def _kill_holder(machine: Machine) -> None:
    """A connection that drives may be frozen, too."""
    process = holder(machine.disk)
    if process is not None and process != os.getpid():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _is_anothers(record: Optional[Record], transaction: str) -> bool:
    return record is not None and "" not in (transaction, record.transaction) and transaction != record.transaction


def _finish(machine: Machine, *, booting: bool, transaction: str = "") -> int:
    record = read_or_rebuild(machine)
    if record.state == UNINSTALLING:
        if not booting:
            deadman.disarm(machine)
        return 0
    if record.is_terminal:
        settle_again(machine, record)
        return 0
    if _is_anothers(record, transaction):
        return 0
    event = Event.INTERRUPT
    if record.boot_id != machine.clock.now().boot_id:
        event = Event.REBOOT if booting else Event.INTERRUPT
        reason = f"the host was restarted while the transaction was {record.state}"
    elif record.state == HEALTHY and is_overdue(record, machine.clock.now()):
        reason = "no confirmation came over a fresh connection in time"
    elif is_overdue(record, machine.clock.now()):
        reason = f"its time was over while it was {record.state}"
    else:
        reason = f"the activation was cut off while it was {record.state}"
    ended = Driver(machine, booting=booting).take_over(reason, event)
    return 1 if ended.state == ROLLBACK_FAILED else 0


def _look(machine: Machine) -> Optional[Record]:
    """The record as it is to somebody who does not hold the lock; None where it cannot be read."""
    with contextlib.suppress(JournalDamaged):
        return machine.journal.read()
    return None
