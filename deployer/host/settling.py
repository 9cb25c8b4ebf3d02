"""What follows from a transaction that stands still: what the host is to remember, and what is swept away.

All of it may be cut off and done again, by anybody who holds the lock.
"""

from __future__ import annotations

import contextlib
import json
from typing import Dict, List

from deployer.formats.messages import CONFIRMED, ROLLBACK_FAILED, ROLLED_BACK
from deployer.formats.state import BROKEN, PENDING, SETTLED, StateLine
from deployer.host import deadman
from deployer.host.disk import Disk
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
from deployer.host.standing import PRIVATE, read_ledger, write_state
from deployer.host.transaction import TEST, Record


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


def settle_again(machine: Machine, record: Record) -> None:
    """Tidy up after a driver that is gone. What was read of it may be in memory only, where its last sync failed: so it is
    recorded once more, and on the disk, before anything follows from it."""
    if machine.disk.entry(JOURNAL) is not None:
        machine.journal.write(record)
    settle(machine, record)


def is_left_over(machine: Machine) -> bool:
    """Whether a request was cut off while it prepared a transaction."""
    return machine.disk.entry(RESERVE) is not None or bool(_half_written(machine.disk))


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


def _note_good(disk: Disk, record: Record) -> None:
    """What is to be there after the next boot; a test is not."""
    pushed, in_trial = disk.entry(PUSHED), record.repair and read_next_boot(disk) is not None
    if not record.next:
        disk.remove(GOOD)
    elif record.goal != TEST and not in_trial:
        disk.link(GOOD, record.next)
    if pushed is not None and pushed.target == record.next:
        disk.remove(PUSHED)


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
