"""Leaving a host as it was before us.

It is the change from the current generation to nothing at all, with the accounts that we made removed instead of locked; then
our own directories go. Each part finds done what was done before, so an uninstallation that was cut off is begun again.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from typing import Iterable, List, Tuple

from deployer.formats.manifest import Manifest
from deployer.formats.messages import ROLLBACK_FAILED, Action, Plan
from deployer.formats.state import BUSY, StateLine
from deployer.host import deadman
from deployer.host.disk_entry import FILE
from deployer.host.disk_walk import PathRefused
from deployer.host.fingerprints import fingerprint, fingerprint_of, left_as
from deployer.host.ledger import Ledger, Metadata, OwnedPath
from deployer.host.lock import locked
from deployer.host.lost import manifest_of
from deployer.host.machine import Machine
from deployer.host.paths import BEFORE, ETC, JOURNAL, KEPT, LOCK, PROFILE, STATE, STATE_DIRECTORY, TRANSACTION, UNDO
from deployer.host.prepare import busy, lay_out, ready
from deployer.host.refusals import HostBroken, KeptFiles
from deployer.host.standing import PRIVATE, read_ledger, write_state
from deployer.host.switching import Switch, remove_made
from deployer.host.transaction import UNINSTALLING, Record
from deployer.host.unit_changes import look_at_units, unit_changes
from deployer.host.user_units import look_at_user_units, user_actions

DISCARD = "discard"
"""The operation on what people wrote by hand."""
_DIRECTORY = Metadata(0o700, 0, 0)
_STORE_STATE = "/nix/var/deployer"
_BYTE_CODE = "/run/deployer"


def uninstall(machine: Machine, *, dry_run: bool, discard_kept: bool = False) -> Tuple[Action, ...]:
    """Remove all that is ours; say what was (or would be) done.

    What people wrote by hand goes only where `discard_kept` says so. Raises `KeptFiles`.
    """
    if machine.disk.entry(STATE_DIRECTORY) is None:
        return _remove_copies(machine, dry_run=dry_run)
    if dry_run:
        return planned(machine)
    with locked(machine.disk, 1.0) as ours:
        if not ours:
            raise busy(machine, machine.journal.read())
        if not discard_kept:
            _refuse_to_lose(machine)
        if machine.journal.read().state == UNINSTALLING and machine.disk.entry(PROFILE) is None:
            _remove_ourselves(machine)
            return ()
        record = _begin(machine)
        actions = planned(machine)
        plan = Plan("", record.previous, 0, tuple(action for action in actions if action.kind == "etc"))
        ledger = read_ledger(machine.disk)
        Switch(machine, record, manifest_of(machine, record.previous), Manifest(), ledger).forward(plan, restore_accounts=True)
        remove_made(machine, [*ledger.made, *ledger.homes])
        deadman.disarm(machine)
        if not discard_kept:
            _refuse_to_lose(machine)  # what was changed by hand while we were at work
        _remove_ourselves(machine)
    return actions


def would_lose(actions: Iterable[Action]) -> Tuple[str, ...]:
    """The paths of what people wrote by hand and what goes with these actions."""
    return tuple(action.target for action in actions if action.operation == DISCARD)


def _refuse_to_lose(machine: Machine) -> None:
    lost = would_lose(_losses(machine, read_ledger(machine.disk)))
    if lost:
        raise KeptFiles(lost)


def _remove_copies(machine: Machine, *, dry_run: bool) -> Tuple[Action, ...]:
    """Where no activation ever began, a copy may have."""
    if machine.disk.entry(_STORE_STATE) is None:
        return ()
    if not dry_run:
        machine.store.remove()
        _remove_byte_code(machine)
    return (Action("store", "remove", _STORE_STATE),)


def planned(machine: Machine) -> Tuple[Action, ...]:
    """What uninstalling does."""
    ledger: Ledger = read_ledger(machine.disk)
    record, current = machine.journal.read(), machine.profile.current()
    system = current.system or (record.previous if record.state == UNINSTALLING else "")
    actions: List[Action] = []
    manifest = manifest_of(machine, system)
    units = unit_changes(manifest, Manifest(), look_at_units(machine.systemd, manifest.units))
    for verb, names in (("stop", units.stop), ("reload", units.reload), ("restart", units.restart), ("start", units.start)):
        actions += [Action("unit", verb, name, units.because.get(name, "")) for name in names]
    actions += user_actions(manifest, Manifest(), look_at_user_units(machine.systemd, manifest, Manifest()))[0]
    for path, owned in sorted(ledger.etc.items()):
        if not owned.adopted:
            actions.append(Action("etc", "restore" if owned.original else "remove", f"{ETC}/{path}"))
    actions += [Action("user", "remove", name) for name in ledger.users]
    actions += [Action("group", "remove", name) for name in ledger.groups]
    actions += [Action("home", "remove", home) for home in ledger.homes if _is_empty(machine, home)]
    actions += [Action("sysctl", "restore", key) for key in ledger.sysctl]
    actions += [Action("generation", "remove", str(number)) for number in machine.profile.generations()]
    actions += _losses(machine, ledger)
    actions.append(Action("store", "remove", STATE_DIRECTORY))
    return tuple(actions)


def _is_empty(machine: Machine, directory: str) -> bool:
    with contextlib.suppress(PathRefused):
        return machine.disk.entry(directory) is not None and not machine.disk.names(directory)
    return False


def _losses(machine: Machine, ledger: Ledger) -> List[Action]:
    """What people wrote by hand: in files of ours as they stand, and in what was kept when we overwrote them."""
    stands = [path for path, owned in sorted(ledger.etc.items()) if _is_written_by_hand(machine, path, owned)]
    kept = [f"{KEPT}/{name}" for name in machine.disk.names(KEPT)]
    return [
        *(Action("kept", DISCARD, f"{ETC}/{path}", "it was changed by hand") for path in stands),
        *(Action("kept", DISCARD, path, "it was changed by hand, and overwritten since") for path in kept),
    ]


def _is_written_by_hand(machine: Machine, path: str, owned: OwnedPath) -> bool:
    """Whether a file stands there that is neither as we left it nor as it is to be when we are gone."""
    if owned.adopted:
        return False
    now = fingerprint(machine.disk, f"{ETC}/{path}")
    return now.startswith(FILE) and now not in (left_as(owned), fingerprint_of(machine.disk, owned.original))


def _begin(machine: Machine) -> Record:
    """Record that it is under way; nothing else may begin from here on."""
    record = machine.journal.read()
    if record.state != UNINSTALLING:
        record = ready(machine)
        if record.state == ROLLBACK_FAILED:
            raise HostBroken(record.reason)
    lay_out(machine.disk)
    machine.journal.create()
    disk = machine.disk
    disk.remove_tree(TRANSACTION)
    for path in (TRANSACTION, BEFORE):
        disk.make_directory(path, _DIRECTORY)
    disk.write(UNDO, b"", PRIVATE)
    if record.state != UNINSTALLING:
        current = machine.profile.current()
        record = Record(
            state=UNINSTALLING,
            transaction=secrets.token_hex(16),
            controller="uninstall",
            epoch=record.epoch,
            previous=current.system,
            previous_generation=current.number,
        )
        machine.journal.write(record)
    write_state(disk, StateLine(BUSY, record.previous_generation, record.previous, record.epoch))
    return record


def _remove_ourselves(machine: Machine) -> None:
    """The journal and the state line last: as long as they are there, the next attempt knows what to go on with."""
    disk = machine.disk
    labels = machine.system.labels(disk)
    if labels is not None:
        labels.forget()
    disk.remove_tree(PROFILE)
    for name in disk.names(STATE_DIRECTORY):
        path = f"{STATE_DIRECTORY}/{name}"
        if path not in (JOURNAL, LOCK, STATE):
            disk.remove_tree(path)
    machine.store.remove()
    _remove_byte_code(machine)
    for path in (STATE, JOURNAL, LOCK):
        disk.remove(path)
    disk.remove_directory(STATE_DIRECTORY)


def _remove_byte_code(machine: Machine) -> None:
    sys.dont_write_bytecode = True  # or what is imported from here on would bring it back
    machine.disk.remove_tree(_BYTE_CODE)
