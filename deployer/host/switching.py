"""Changing a host from one system to another, and changing it back.

`forward` goes in the order that the table in docs/explanation/activation.md gives, and leaves an undo record before each
effect. `back` replays them in reverse; it looks at the host and not at how far `forward` came, so it may be cut off and begun
again, by anybody.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set

from deployer.errors import DeployerError, DeploymentError
from deployer.formats.manifest import EtcEntry, Manifest
from deployer.formats.messages import Action, Plan
from deployer.host import deadman
from deployer.host.account_files import undo_accounts
from deployer.host.accounts_apply import apply_accounts, keeps_accounts
from deployer.host.disk_entry import DIRECTORY, LINK
from deployer.host.disk_walk import PathRefused
from deployer.host.etc import EtcWriter, in_order_of_removal, undo_path
from deployer.host.ledger import Ledger, Metadata, OwnedPath
from deployer.host.machine import Machine
from deployer.host.paths import ETC, NEXT_LEDGER
from deployer.host.preloading import PRELOADED, remove_preloads
from deployer.host.transaction import Record
from deployer.host.unit_changes import look_at_units, planned_changes, unit_changes
from deployer.host.unit_jobs import UnitJobs, as_if_running, queue_for_boot
from deployer.host.units_back import UnitsBack
from deployer.host.user_units import UserUnits

_PRIVATE = Metadata(0o600, 0, 0)


class NotRestored(DeploymentError):
    """Parts of a rollback did not succeed; all others did."""

    troubles: Sequence[str]

    @property
    def message(self) -> str:
        """Which."""
        return "; ".join(self.troubles)

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Remove the cause, then cancel the transaction: the host tries the rollback once more."


class Switch:
    """One host's change from `previous` to `next`."""

    def __init__(self, machine: Machine, record: Record, previous: Manifest, following: Manifest, ledger: Ledger) -> None:
        """`ledger` is that of the previous generation."""
        self._machine, self._record, self._previous, self._next = machine, record, previous, following
        self._ledger = ledger
        self._undo = machine.undo
        self._events = machine.events

    # -- forward ---------------------------------------------------------------------------------------------------------

    def forward(self, plan: Plan, *, restore_accounts: bool = False, booting: bool = False) -> None:
        """Do what the plan says. `restore_accounts` removes the accounts that we made instead of locking them.

        At boot no unit has started yet: none is stopped or started, but systemd is told what to start instead.
        """
        before = look_at_units(self._machine.systemd, (*self._previous.units, *self._next.units))
        if booting:
            before = as_if_running(before, self._previous)
        repairs = self._record.repair
        changes = planned_changes(plan.actions) if repairs else unit_changes(self._previous, self._next, before)
        units = UnitJobs(self._machine, self._previous, self._next)
        users = UserUnits(self._machine, self._previous, self._next)
        units.record(before, changes)
        for action in (*(action for action in plan.actions if action.kind == "host"), *changes.skipped):
            self._events.action(action)
        ledger, early = self._ledger, keeps_accounts(self._previous, self._next) and not (repairs or restore_accounts)
        if early:  # whatever can be done before anything is stopped is done before
            ledger = apply_accounts(self._machine, ledger, self._next, note=self._note)
        if not booting:
            if not repairs:
                units.preload(changes)
                users.stop()
            units.stop(changes)
        if not early:
            ledger = apply_accounts(self._machine, ledger, self._next, note=self._note, restore=restore_accounts)
        ledger = self._change_etc(plan, ledger)
        if repairs:
            self._set_aside(plan)
        ledger = self._set_sysctl(ledger)
        ledger = self._make_tmpfiles(ledger)
        if not booting:
            units.start_preloaded(changes)
        states = units.reload_definitions() if self._touches_units(plan) or units.has_preloaded else {}
        for name in changes.reread:
            self._note(Action("unit", "change", name, changes.because.get(name, "")))
        if booting:
            queue_for_boot(self._machine.systemd, self._previous, self._next)
        else:
            units.start(changes, states)
            users.start()
        self._machine.disk.write(NEXT_LEDGER, ledger.to_bytes(), _PRIVATE)

    def _change_etc(self, plan: Plan, ledger: Ledger) -> Ledger:
        declared: Dict[str, EtcEntry] = {entry.path: entry for entry in self._next.etc}
        before: Dict[str, EtcEntry] = {entry.path: entry for entry in self._previous.etc}
        actions = {action.target[len(ETC) + 1 :]: action for action in plan.actions if action.kind == "etc"}
        owned: Dict[str, OwnedPath] = dict(ledger.etc)
        made = list(ledger.directories)
        tag = self._record.transaction[:8]
        known = set(made)
        writer = EtcWriter(self._machine.disk, self._undo, system=self._record.next, tag=tag, note=self._note)
        early, late = in_order_of_removal([path for path in owned if path not in declared], declared)
        for path in early:
            self._take_away(writer, path, owned, actions)
        made = self._make_way(writer, made, declared)
        put: List[str] = []
        for path in sorted(declared):
            if path not in owned or path in actions or _must_rewrite(declared[path], before.get(path), owned[path]):
                owned[path] = writer.put(declared[path], owned.get(path), made)
                put.append(f"{ETC}/{path}")
                if path in actions:
                    self._note(actions[path])
        self._machine.system.relabel(sorted({*put, *made} - known))
        self._switch_profile()
        for path in late:
            self._take_away(writer, path, owned, actions)
        if any(f"{ETC}/{path}".startswith(deadman.WANTS + "/") for path in declared) and deadman.made_wants(self._machine):
            made.append(deadman.WANTS)
        needed = _above(f"{ETC}/{path}" for path in declared)
        kept = [path for path in sorted(set(made), reverse=True) if path in needed or not writer.drop_directory(path)]
        return dataclasses.replace(ledger, etc=owned, directories=tuple(sorted(kept)))

    def _make_way(self, writer: EtcWriter, made: List[str], declared: Mapping[str, EtcEntry]) -> List[str]:
        """Directories of ours, empty by now, in whose place something else is to stand; returns those that stay."""
        places = {f"{ETC}/{path}" for path, entry in declared.items() if entry.kind != "directory"}
        return [
            path for path in sorted(made, reverse=True) if not places & {path, *_above([path])} or not writer.drop_directory(path)
        ]

    def _set_aside(self, plan: Plan) -> None:
        """What somebody added to units of ours, or masked them with."""
        writer = EtcWriter(
            self._machine.disk,
            self._undo,
            system=self._record.next,
            tag=self._record.transaction[:8] + "-foreign",
            note=self._note,
        )
        for action in plan.actions:
            if action.kind == "etc" and action.operation == "remove" and action.target[len(ETC) + 1 :] not in self._ledger.etc:
                writer.set_aside(action.target)
                self._note(action)

    def _take_away(self, writer: EtcWriter, path: str, owned: Dict[str, OwnedPath], actions: Mapping[str, Action]) -> None:
        item = owned.pop(path)
        if item.adopted:
            return
        writer.take_away(path, item)
        operation = "restore" if item.original is not None else "remove"
        self._note(actions.get(path, Action("etc", operation, f"{ETC}/{path}")))

    def _switch_profile(self) -> None:
        profile, number = self._machine.profile, self._record.next_generation
        before = profile.current()
        if before.number == number:
            return
        self._undo.append({"op": "current", "before": before.number})
        profile.switch(number)
        self._note(Action("generation", "change", str(number), f"{before.number} -> {number}"))

    def _set_sysctl(self, ledger: Ledger) -> Ledger:
        originals = dict(ledger.sysctl)
        wanted = dict(self._next.sysctl)
        for key in [key for key in originals if key not in wanted]:
            self._set_key(key, originals.pop(key), "restore")
        for key, value in sorted(wanted.items()):
            now = self._machine.system.sysctl(key)
            if now is not None and key not in originals:
                originals[key] = now
            if now is None or now.split() != value.split():
                self._set_key(key, value, "change")
        return dataclasses.replace(ledger, sysctl=originals)

    def _set_key(self, key: str, value: str, operation: str) -> None:
        now = self._machine.system.sysctl(key)
        if now is not None and now.split() == value.split():
            return
        self._undo.append({"op": "sysctl", "key": key, "before": now})
        self._machine.system.set_sysctl(key, value)
        self._note(Action("sysctl", operation, key, f"{now} -> {value}"))

    def _make_tmpfiles(self, ledger: Ledger) -> Ledger:
        if not self._next.tmpfiles or (self._next.tmpfiles == self._previous.tmpfiles and not self._record.repair):
            return ledger
        missing = [path for path in tmpfiles_paths(self._next.tmpfiles) if not self._machine.disk.exists(path)]
        self._undo.append({"op": "made", "paths": missing})
        self._machine.system.make_tmpfiles("/etc/tmpfiles.d/deployer.conf")
        for path in missing:
            self._note(Action("tmpfiles", "add", path))
        return dataclasses.replace(ledger, made=tuple(sorted({*ledger.made, *missing})))

    # -- units -----------------------------------------------------------------------------------------------------------

    def _touches_units(self, plan: Plan) -> bool:
        """Whether systemd has to read its files again: a unit's changed, or what its generators read."""
        before, after = ({entry.path: entry for entry in one.etc} for one in (self._previous, self._next))
        changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
        changed |= {action.target[len(ETC) + 1 :] for action in plan.actions if action.kind == "etc"}
        return self._previous.units != self._next.units or self._record.repair or any(map(is_read_by_systemd, changed))

    # -- back ------------------------------------------------------------------------------------------------------------

    def back(self, *, booting: bool) -> None:
        """Put everything back as the undo log says. At boot nothing is waited for."""
        records = self._undo.records()
        units = UnitsBack(self._machine, self._previous, self._next)
        of_host = [record for record in records if not record.get("user")]
        users = UserUnits(self._machine, self._previous, self._next)
        if not booting and records:
            users.stop_what_came(records)
            units.stop_what_came(of_host)
        troubles: List[str] = []
        for record in reversed(records):
            try:
                self._undo_one(record)
            except (DeployerError, OSError) as error:
                troubles.append(error.message if isinstance(error, DeployerError) else str(error))
        try:
            units.bring_back(of_host, troubles, booting=booting)
        finally:
            if not booting:
                users.bring_back(records, troubles)
        if troubles:
            raise NotRestored(troubles)

    def _undo_one(self, record: Mapping[str, Any]) -> None:
        operation, disk = record["op"], self._machine.disk
        if operation == PRELOADED:
            remove_preloads(self._machine, record)
        elif operation == "path":
            undo_path(disk, dict(record), self._record.transaction[:8], self._note)
        elif operation == "current":
            self._machine.profile.switch(record["before"])
        elif operation == "accounts":
            undo_accounts(disk, record)
        elif operation == "sysctl" and record["before"] not in (None, self._machine.system.sysctl(record["key"])):
            self._machine.system.set_sysctl(record["key"], record["before"])
        elif operation == "made":
            remove_made(self._machine, record["paths"])

    def _note(self, action: Action) -> None:
        self._events.action(action)


def _must_rewrite(entry: EtcEntry, before: Optional[EtcEntry], owned: OwnedPath) -> bool:
    """Whether the new generation declares a path otherwise than the previous one did."""
    same = before is not None and entry.leaves_the_same(before)
    return not same and (entry.kind != owned.kind or entry.kind != "link")


def is_read_by_systemd(path: str) -> bool:
    """Whether systemd, or one of the generators that make units, reads this path below `/etc`."""
    return path.split("/", 1)[0] in ("systemd", "init.d", "fstab", "crypttab", "default", "netplan")


def remove_made(machine: Machine, paths: Sequence[str]) -> None:
    """Remove what tmpfiles or we made elsewhere: links and empty files and directories; whatever has come to hold data stays."""
    for path in sorted(paths, reverse=True):
        with contextlib.suppress(PathRefused):
            entry = machine.disk.entry(path)
            if entry is None:
                continue
            if entry.kind == DIRECTORY:
                machine.disk.remove_directory(path)
            elif entry.kind == LINK or entry.size == 0:
                machine.disk.remove(path)


def tmpfiles_paths(lines: Sequence[str]) -> List[str]:
    """The paths that lines of tmpfiles.d(5) create, with the directories above them, where they need no expansion."""
    paths: Set[str] = set()
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0][0] in "fFdDvqQpL" and words[1].startswith("/") and "%" not in words[1]:
            path = words[1].rstrip("/").strip('"')
            paths.add(path)
            paths.update(_above([path]))
    return sorted(paths)


def _above(paths: Any) -> Set[str]:
    above: Set[str] = set()
    for path in paths:
        parts = path.split("/")
        above.update("/".join(parts[:depth]) for depth in range(2, len(parts)))
    return above
