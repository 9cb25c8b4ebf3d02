"""What a connection does with a transaction that a service drives: follow it, confirm it, cancel it.

What drives one itself is imported where it is needed: a confirmation seldom is, and must come quickly.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Callable, Dict, Final, Optional

from deployer.formats.messages import CONFIRMED, HEALTHY, ROLLBACK_FAILED, ROLLING_BACK, Outcome
from deployer.formats.state import BUSY
from deployer.host.lock import locked
from deployer.host.machine import ACTIVATION, Machine
from deployer.host.outcome import outcome
from deployer.host.paths import CANCELLATION, CONFIRMATION
from deployer.host.process import one_line
from deployer.host.refusals import ConfirmRefused, UnknownTransaction
from deployer.host.standing import PRIVATE, read_cancellation, read_state
from deployer.host.transaction import UNINSTALLING, Event, Record, is_for, is_resuming, refuse_confirmation

if TYPE_CHECKING:
    from deployer.host.activate import Driver

_POLL: Final = 0.05
_LOOK_AFTER: Final = 2.0
"""Seconds without news after which we look whether anybody drives at all."""
_SETTLE_TIMEOUT: Final = 60.0
_CANCEL_TIMEOUT: Final = 3.0
_ROLLBACK_TIMEOUT: Final = 300.0

Tell = Callable[[Dict[str, Any]], None]


def follow(machine: Machine, transaction: str, tell: Tell) -> Outcome:
    """Tell all events of a transaction until it waits for its confirmation or stands still. Raises `UnknownTransaction`."""
    offset, quiet, told = 0, 0.0, ""
    while True:
        record = machine.journal.read()
        if record.transaction != transaction:
            from deployer.host.booting import staged

            return staged(machine, transaction)
        stands = record.state == HEALTHY or stands_still(machine, record)
        documents, offset = machine.events.read(offset)
        for document in documents:
            told = str(document.get("state", told))
            tell(document)
        if stands:
            if told != record.state:
                tell({"state": record.state})
            return outcome(machine, record)
        quiet = 0.0 if documents else quiet + _POLL
        if quiet > _LOOK_AFTER:
            _take_over_if_abandoned(machine, record)
            quiet = 0.0
        machine.clock.sleep(_POLL)


def confirm(machine: Machine, transaction: str, token: str) -> Outcome:
    """Bring the token to whoever waits for it. Raises `ConfirmRefused`."""
    laid = False
    while True:
        record = machine.journal.read()
        refused = refuse_confirmation(record, transaction, token, machine.clock.now())
        if refused is not None:
            if record.state in (HEALTHY, ROLLING_BACK) and is_for(record, transaction, token):
                record = await_rest(machine, _ROLLBACK_TIMEOUT)  # it is late by our clock, but the journal decides
            if record.state != CONFIRMED or record.transaction != transaction:
                raise ConfirmRefused(refused, record.state, record.generation, record.system)
        if record.state == CONFIRMED:
            return outcome(machine, await_rest(machine, _SETTLE_TIMEOUT))
        if not laid:
            content = json.dumps({"transaction": transaction, "token": token}).encode()
            machine.disk.write(CONFIRMATION, content, PRIVATE)
            laid = True
        with locked(machine.disk) as ours:
            again = machine.journal.read()
            if ours and refuse_confirmation(again, transaction, token, machine.clock.now()) is None and again.state == HEALTHY:
                _driver(machine).confirm()
        machine.clock.sleep(_POLL)


def cancel(machine: Machine, transaction: str, reason: str = "") -> Outcome:
    """Have a transaction rolled back, whatever it is doing; one that has ended stays as it is, save that a failed rollback is
    tried once more. Raises `UnknownTransaction`."""
    record = machine.journal.read()
    if record.transaction != transaction:
        raise UnknownTransaction(transaction)
    if record.state == ROLLBACK_FAILED:
        with locked(machine.disk, _CANCEL_TIMEOUT) as ours:
            if ours:
                return outcome(machine, _driver(machine).take_over("", Event.RETRY))
    if not record.is_terminal:
        machine.disk.write(CANCELLATION, one_line(reason).encode(), PRIVATE)
        waited = 0.0
        while waited < _CANCEL_TIMEOUT and not _is_ending(machine.journal.read()):
            machine.clock.sleep(_POLL)
            waited += _POLL
        if not _is_ending(machine.journal.read()):
            machine.systemd.kill(ACTIVATION)
        recover(machine, read_cancellation(machine.disk), _ROLLBACK_TIMEOUT)
    return outcome(machine, await_rest(machine, _ROLLBACK_TIMEOUT))


def recover(machine: Machine, reason: str, timeout: float, *, booting: bool = False) -> Optional[Record]:
    """Take the transaction over as soon as its driver is gone, and finish it; None where it did not go."""
    with locked(machine.disk, timeout) as ours:
        if not ours:
            return None
        return _driver(machine, booting=booting).take_over(reason)


def await_rest(machine: Machine, timeout: float) -> Record:
    """The record once the transaction stands still and is tidied up, or as it is when the time is over."""
    waited = 0.0
    while waited < timeout:
        record = machine.journal.read()
        if stands_still(machine, record):
            return record
        if waited % _LOOK_AFTER < _POLL and waited >= _LOOK_AFTER:
            _take_over_if_abandoned(machine, record)
        machine.clock.sleep(_POLL)
        waited += _POLL
    return machine.journal.read()


def stands_still(machine: Machine, record: Record) -> bool:
    """Whether the transaction has ended and its last words are on the disk."""
    return record.is_terminal and read_state(machine.disk).phase != BUSY


def _driver(machine: Machine, *, booting: bool = False) -> Driver:
    from deployer.host.activate import Driver

    return Driver(machine, booting=booting)


def _is_ending(record: Record) -> bool:
    return record.is_terminal or record.state in (ROLLING_BACK, UNINSTALLING)


def _take_over_if_abandoned(machine: Machine, record: Record) -> None:
    """Neither does anybody hold the lock, nor does a service run: the driver died without the timer noticing yet.

    The lock comes first. A driver that holds it may have systemd read its files again, and until those are read, which a
    generator can make last, systemd tells nobody anything.
    """
    if is_resuming(record, machine.clock.now()) or not _is_free(machine):
        return
    if machine.systemd.states([ACTIVATION])[ACTIVATION].is_active:
        return
    with locked(machine.disk) as ours:
        if ours:
            _driver(machine).take_over(f"its service ended while it was {record.state}")


def _is_free(machine: Machine) -> bool:
    with locked(machine.disk) as ours:
        return ours
