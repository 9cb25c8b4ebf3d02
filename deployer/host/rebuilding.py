"""What is made of a host whose journal can't be read: the generation that was last confirmed, and a journal that says so."""

from __future__ import annotations

import dataclasses
from typing import Final, Optional, Tuple

from deployer.formats.frames import FrameRefused
from deployer.formats.messages import CONFIRMED, ROLLBACK_FAILED, ROLLING_BACK, Activation, Plan
from deployer.formats.state import BROKEN, PENDING, SETTLED
from deployer.host.disk_walk import PathRefused
from deployer.host.journal import JournalDamaged
from deployer.host.machine import Machine
from deployer.host.paths import GOOD, JOURNAL, NEXT_LEDGER
from deployer.host.standing import read_request, read_state
from deployer.host.transaction import Record

_REASON: Final = "neither slot of the journal could be read, so it was made anew from the generation that was last confirmed"


def read_or_rebuild(machine: Machine) -> Record:
    """The journal's record; where both slots are unreadable, what the files beside it tell. Hold the lock."""
    try:
        return machine.journal.read()
    except JournalDamaged:
        record = rebuild(machine)
        machine.disk.remove(JOURNAL)
        machine.journal.create()
        machine.journal.write(record)
        return record


def rebuild(machine: Machine) -> Record:
    """At rest where the state line says so, confirmed where the good system is current; otherwise on its way back."""
    line, asked = read_state(machine.disk), _asked(machine)
    current, good = machine.profile.current(), machine.disk.entry(GOOD)
    known = Record(
        epoch=max(line.epoch, asked[0].epoch if asked else 0),
        next=current.system,
        next_generation=current.number,
        attempts=1,
        reason=_REASON,
        boot_id=machine.clock.now().boot_id,
    )
    if line.phase in (SETTLED, PENDING):
        return dataclasses.replace(known, attempts=0)
    last = good.target if good is not None else ""
    record = dataclasses.replace(known, state=ROLLBACK_FAILED if line.phase == BROKEN else ROLLING_BACK, previous=last)
    numbers = {system: number for number, system in machine.profile.generations().items()}
    if asked is None:
        return dataclasses.replace(record, previous_generation=numbers.get(last, 0))
    request, plan = asked
    before = numbers.get(plan.previous, 0)
    record = dataclasses.replace(
        record,
        transaction=request.transaction,
        controller=request.controller,
        previous=plan.previous,
        previous_generation=before,
        next=request.system,
        next_generation=plan.generation,
        fresh=not (request.generation or request.repair or plan.generation == before),
        repair=request.repair,
        token_sha256=request.token_sha256,
    )
    pending = machine.disk.entry(NEXT_LEDGER) is not None
    if last and last == current.system == request.system and not pending and line.phase != BROKEN:
        return dataclasses.replace(record, state=CONFIRMED)
    return record


def _asked(machine: Machine) -> Optional[Tuple[Activation, Plan]]:
    try:
        return read_request(machine.disk)
    except (OSError, FrameRefused, PathRefused, KeyError, TypeError):
        return None
