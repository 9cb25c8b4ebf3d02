"""The change that the next boot brings: set down by a request, made by the boot unit before any unit starts, judged once the
host is up.

A try counts as soon as the journal names it, which is before anything changes: a host that crashes, or is reset, in the
middle finds it there at the boot after, goes back, and does not try again. What a test has left is brought back by the next
boot that is not cut off.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Final, Optional

from deployer.formats.messages import CONFIRMED, PREPARED, STAGED, Activation, Outcome, Plan
from deployer.formats.state import PENDING, StateLine
from deployer.host import deadman
from deployer.host.activate import Driver
from deployer.host.machine import Machine
from deployer.host.next_boot import NextBoot, boot_runtime, read_next_boot, write_next_boot
from deployer.host.paths import NEXT_BOOT, PUSHED
from deployer.host.prepare import enter, lay_down, lay_out
from deployer.host.refusals import SystemLost, SystemMissing, UnknownTransaction
from deployer.host.settling import roots, settle
from deployer.host.standing import write_state
from deployer.host.transaction import BACK, BOOT, Record
from deployer.host.verdict import plan_for

_MINUTE: Final = 60.0


def stage(machine: Machine, request: Activation, plan: Plan) -> Outcome:
    """Have the next boot bring a system. Hold the lock, and have the request refused where it must be, first."""
    disk, profile = machine.disk, machine.profile
    record = machine.journal.read()
    lay_out(disk)
    machine.journal.create()
    epoch = max(request.epoch, record.epoch)
    machine.journal.write(dataclasses.replace(record, epoch=epoch))
    if request.system == profile.current().system:
        disk.remove(NEXT_BOOT)
        settle(machine, machine.journal.read())
        return Outcome(request.transaction, STAGED, plan.generation, request.system)
    before = read_next_boot(disk)
    same = before is not None and before.fresh and before.generation == plan.generation
    fresh = same or profile.system_of(plan.generation) == ""
    profile.add(plan.generation, request.system)
    following = NextBoot(
        transaction=request.transaction,
        generation=plan.generation,
        system=request.system,
        fresh=fresh,
        controller=request.controller,
        epoch=epoch,
        token_sha256=request.token_sha256 if request.reboot else "",
        reboot=request.reboot,
        **_in_trial(before),
    )
    machine.store.hold(roots(machine))
    deadman.stand_by(machine, boot_runtime(machine, following))
    write_next_boot(disk, following)
    current = profile.current()
    write_state(disk, StateLine(PENDING, current.number, current.system, epoch))
    return staged(machine, request.transaction)


def _in_trial(before: Optional[NextBoot]) -> Dict[str, Any]:
    """Whoever stages during a test: what the test was to be followed by comes first."""
    if before is None:
        return {}
    if before.kind == BACK:
        return {"back_generation": before.generation, "back_system": before.system}
    return {"back_generation": before.back_generation, "back_system": before.back_system}


def staged(machine: Machine, transaction: str) -> Outcome:
    """How a change that waits for the next boot stands. Raises `UnknownTransaction`."""
    following = read_next_boot(machine.disk)
    if following is None or following.transaction != transaction:
        raise UnknownTransaction(transaction)
    return Outcome(transaction, STAGED, following.generation, following.system)


def unstage(machine: Machine) -> bool:
    """Take back what a deployment with the goal `boot` has set down; say whether there was anything. Hold the lock."""
    following, record = read_next_boot(machine.disk), machine.journal.read()
    if following is None or following.kind != BOOT:
        return False
    if following.first is not None:
        write_next_boot(machine.disk, following.first)
    else:
        machine.disk.remove(NEXT_BOOT)
    if following.fresh:
        machine.profile.drop(following.generation)
    settle(machine, record)
    return True


def reboot(machine: Machine, transaction: str) -> None:
    """Reboot into what was staged under this name. Raises `UnknownTransaction`."""
    following = read_next_boot(machine.disk)
    if following is None or following.transaction != transaction:
        raise UnknownTransaction(transaction)
    machine.systemd.request_reboot()


def push(machine: Machine, system: str) -> bool:
    """Keep a system that is not to be activated from the collector; say whether it was not kept before. Hold the lock.

    Raises `SystemMissing`.
    """
    if not machine.store.is_valid(system):
        raise SystemMissing(system)
    if system in roots(machine).values():
        return False
    machine.disk.link(PUSHED, system)
    machine.store.hold(roots(machine))
    return True


def begin_next_boot(machine: Machine) -> None:
    """Before any unit starts: change to what this boot is to bring. Hold the lock; the last transaction must have ended."""
    following, last = read_next_boot(machine.disk), machine.journal.read()
    if following is None or (following.kind == BOOT and following.transaction == last.transaction):
        return
    first = following.first
    if first is not None and machine.profile.current().number != first.generation:
        _begin(machine, first, last)
        last = machine.journal.read()
        if last.state != CONFIRMED:
            return
    _begin(machine, following, last)


def _begin(machine: Machine, following: NextBoot, last: Record) -> None:
    current = machine.profile.current()
    record = Record(
        state=PREPARED,
        transaction=following.transaction,
        controller=following.controller,
        epoch=max(following.epoch, last.epoch),
        previous=current.system,
        previous_generation=current.number,
        next=following.system,
        next_generation=following.generation,
        fresh=following.fresh,
        goal=following.kind,
        reboot=following.reboot,
        superseded=following.transaction,
        token_sha256=following.token_sha256,
        created=machine.clock.wall(),
        boot_id=machine.clock.now().boot_id,
        deadline=machine.clock.now().seconds + _MINUTE,
    )
    request = Activation(
        following.system, following.transaction, following.controller, following.token_sha256, previous=current.system
    )
    refused: Optional[str] = None
    plan = Plan(following.system, current.system, following.generation)
    try:
        manifest = machine.store.manifest(following.system)
        plan = plan_for(machine, following.system, manifest, repair=False, generation=following.generation)
        refused = "; ".join(f"{problem.target}: {problem.message}" for problem in plan.problems)
    except SystemLost as error:
        refused = error.message
    lay_down(machine, record, request, plan)
    enter(machine, record)
    driver = Driver(machine, booting=True)
    if refused:
        driver.take_over(refused)
    else:
        driver.run(following.transaction)
