"""Preparing a transaction: all that can be refused is refused here, before anything on the host has changed."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import Final, Optional, Tuple

from deployer.errors import DeployerError
from deployer.formats.goals import Goal
from deployer.formats.limits import Limits
from deployer.formats.manifest import CONFIRM_AGAIN, Manifest
from deployer.formats.messages import CONFIRMED, PREPARED, ROLLBACK_FAILED, Activation, Outcome, Plan
from deployer.formats.state import BUSY, StateLine
from deployer.host import deadman
from deployer.host.account_files import wait_for_lock
from deployer.host.activate import Driver, recovering_runtime
from deployer.host.boots import note_booted
from deployer.host.disk import Disk
from deployer.host.ledger import Metadata
from deployer.host.lost import manifest_of
from deployer.host.machine import ACTIVATION, Machine, without_timing
from deployer.host.next_boot import default_generation, read_next_boot
from deployer.host.paths import (
    BEFORE,
    KEPT,
    ORIGINALS,
    PROFILE,
    QUARANTINE,
    REQUEST,
    RESERVE,
    STATE_DIRECTORY,
    TRANSACTION,
    UNDO,
)
from deployer.host.rebuilding import read_or_rebuild
from deployer.host.refusals import (
    ActivationRefused,
    Fenced,
    HostBroken,
    HostBusy,
    NoSpace,
    PlanOutdated,
    PreviousChanged,
    RequestRefused,
    SystemMissing,
)
from deployer.host.settling import is_left_over, roots, settle_again
from deployer.host.standing import PRIVATE, read_ledger, read_state, write_state
from deployer.host.transaction import BOOT, TEST, Record, is_resuming
from deployer.host.verdict import plan_for
from deployer.host.verification import judged
from deployer.host.way_in import keep_way_in

_RESERVE_SIZE: Final = 2 << 20
_MIN_BYTES: Final = 8 << 20
_MIN_INODES: Final = 256
_DIRECTORY: Final = Metadata(0o700, 0, 0)
_PASSAGE: Final = Metadata(0o711, 0, 0)
_OPEN: Final = Metadata(0o755, 0, 0)
_TRANSACTION_NAME: Final = re.compile(r"[0-9a-f]{32}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def lay_out(disk: Disk) -> None:
    """Make our directory, where it is not there, and the journal in it."""
    above = disk.root / STATE_DIRECTORY.lstrip("/")
    above.parent.mkdir(parents=True, exist_ok=True)
    modes = {STATE_DIRECTORY: _PASSAGE, PROFILE: _OPEN}
    for path in (STATE_DIRECTORY, PROFILE, ORIGINALS, KEPT, QUARANTINE):
        if disk.entry(path) is None:
            disk.make_directory(path, modes.get(path, _DIRECTORY))


def check_request(request: Activation) -> None:
    """Refuse what no controller of ours would send. Raises `RequestRefused`."""
    if not _TRANSACTION_NAME.fullmatch(request.transaction):
        raise RequestRefused("a transaction is 32 hexadecimal digits")
    if not _DIGEST.fullmatch(request.token_sha256):
        raise RequestRefused("token_sha256 is 64 hexadecimal digits")
    if len(request.controller) > 200 or not request.controller.isprintable():
        raise RequestRefused("the controller's name is too long or not printable")
    if request.epoch < 0 or request.generation < 0:
        raise RequestRefused("epoch and generation are not negative")
    goal = Goal.parse(request.goal)
    if goal is None or not goal.activates or (request.reboot and goal is not Goal.BOOT):
        raise RequestRefused("the goal is none of switch, boot and test, or a reboot goes with another than boot")


def ready(machine: Machine) -> Record:
    """The journal's record, after finishing what a driver that is gone left behind. Hold the lock."""
    record = read_or_rebuild(machine)
    if record.is_terminal:
        at_rest = read_next_boot(machine.disk) is not None
        left = is_left_over(machine) or (deadman.is_left_over(machine) and not at_rest)
        if read_state(machine.disk).phase == BUSY or left:
            settle_again(machine, record)
        return record
    if machine.systemd.states([ACTIVATION])[ACTIVATION].is_active or is_resuming(record, machine.clock.now()):
        raise busy(machine, record)
    return Driver(machine).take_over(f"it was cut off while it was {record.state}")


def prepare(machine: Machine, request: Activation) -> Tuple[Optional[Record], Plan]:
    """Write down a transaction, ready to be driven; None where there is nothing to do now. Hold the lock."""
    check_request(request)
    record = ready(machine)
    if record.state == ROLLBACK_FAILED:
        raise HostBroken(record.reason)
    if request.epoch < record.epoch:
        raise Fenced(request.epoch, record.epoch)
    current = machine.profile.current()
    if request.previous != current.system:
        raise PreviousChanged(request.previous, current.system)
    if not machine.store.is_valid(request.system):
        raise SystemMissing(request.system)
    if request.repair and request.system != current.system:
        raise RequestRefused("a repair is of the current system")
    manifest, before = machine.store.manifest(request.system), manifest_of(machine, current.system)
    plan = plan_for(machine, request.system, manifest, repair=request.repair, generation=request.generation, goal=request.goal)
    if plan.problems:
        raise ActivationRefused(plan.problems)
    if request.exact:
        compare(request, plan)
    if request.system == current.system and not plan.actions:
        machine.store.hold(roots(machine))  # where the store was lost and is back, nothing holds it yet
        return None, plan
    refused = judged(machine, request.system, manifest, read_ledger(machine.disk), plan)
    if refused:
        raise ActivationRefused(refused)
    if any(action.kind in ("user", "group") for action in plan.actions):
        wait_for_lock(machine.disk)
    if not machine.store.runtime(request.system):
        raise RequestRefused("the system brings no host runtime")
    labels = machine.system.labels(machine.disk)
    if labels is not None:
        labels.label([request.system])  # again: the copy that brought it may have been cut off just before
    if manifest.firewall:
        keep_way_in(machine.disk)
    if request.goal == BOOT:
        return None, plan
    number, default = plan.generation, default_generation(machine)
    staged = read_next_boot(machine.disk)
    following = Record(
        state=PREPARED,
        transaction=request.transaction,
        controller=request.controller,
        epoch=max(request.epoch, record.epoch),
        previous=current.system,
        previous_generation=current.number,
        next=request.system,
        next_generation=number,
        fresh=machine.profile.system_of(number) == "",
        repair=request.repair,
        trivial=is_trivial(before, manifest),
        token_sha256=request.token_sha256,
        goal=TEST if request.goal == TEST else "",
        default_generation=default.number,
        default_system=default.system,
        superseded=staged.transaction if staged is not None else "",
        created=machine.clock.wall(),
        boot_id=machine.clock.now().boot_id,
        deadline=machine.clock.now().seconds + 60.0,
        tries=1 if manifest.timing.on_reboot == CONFIRM_AGAIN else 0,
    )
    note_booted(machine)
    lay_down(machine, following, request, plan)
    seconds = Limits.of(manifest, before).total + deadman.BEGINNING
    try:
        deadman.begin(machine, recovering_runtime(machine, following), following, seconds)
        enter(machine, following)
    except (DeployerError, OSError):
        if machine.journal.read().transaction != following.transaction:
            with contextlib.suppress(DeployerError, OSError):
                settle_again(machine, record)
        raise
    return following, plan


def lay_down(machine: Machine, record: Record, request: Activation, plan: Plan) -> None:
    """Keep all that the drivers of a transaction that was not refused need. Hold the lock."""
    disk = machine.disk
    lay_out(disk)
    machine.journal.create()
    disk.remove_tree(TRANSACTION)
    for path in (TRANSACTION, BEFORE):
        disk.make_directory(path, _DIRECTORY)
    disk.write(UNDO, b"", PRIVATE)
    document = {"activation": request.to_document(), "plan": plan.to_document()}
    disk.write(REQUEST, json.dumps(document).encode(), PRIVATE)
    disk.reserve(RESERVE, _RESERVE_SIZE)
    machine.store.hold(roots(machine, record.next))


def enter(machine: Machine, record: Record) -> None:
    """Record a transaction of which all is laid down. Hold the lock; from here on somebody must drive it, or end it."""
    machine.journal.write(record)
    if record.next_generation:
        machine.profile.add(record.next_generation, record.next)
    write_state(machine.disk, StateLine(BUSY, record.previous_generation, record.previous, record.epoch))
    machine.events.state(PREPARED)


def is_trivial(before: Manifest, following: Manifest) -> bool:
    """Whether the change touches nothing outside our own directory."""
    return without_timing(before) == without_timing(following) and following.is_empty and not following.checks


def check_space(disk: Disk) -> None:
    """Room for the undo log, the copies and the journal. Raises `NoSpace`."""
    path = disk.root / STATE_DIRECTORY.lstrip("/")
    while not path.exists():
        path = path.parent
    status = os.statvfs(path)
    free = status.f_bavail * status.f_frsize
    if free < _MIN_BYTES or (status.f_files > 0 and status.f_favail < _MIN_INODES):
        raise NoSpace(f"/{path.relative_to(disk.root)}", free, status.f_favail)


def compare(request: Activation, plan: Plan) -> None:
    """Refuse to do anything but what was planned. Raises `PlanOutdated`."""
    asked = {(action.kind, action.operation, action.target) for action in request.actions}
    would = {(action.kind, action.operation, action.target) for action in plan.actions}
    for word, difference in (("in addition", would - asked), ("no longer", asked - would)):
        if difference:
            raise PlanOutdated(f"{word} {' '.join(sorted(difference)[0])}")


def unchanged(machine: Machine, request: Activation) -> Outcome:
    """The answer where there was nothing to do."""
    current = machine.profile.current()
    return Outcome(request.transaction, CONFIRMED, current.number, current.system)


def busy(machine: Machine, record: Record) -> HostBusy:
    """Who holds this host."""
    left = record.deadline - machine.clock.now().seconds
    return HostBusy(record.controller, record.state, record.transaction, max(0.0, left))
