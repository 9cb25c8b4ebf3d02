"""Changing a host from one system to another, and changing it back.

`forward` goes in the order that the table in docs/explanation/activation.md gives, and leaves an undo record before each
effect. `back` replays them in reverse; it looks at the host and not at how far `forward` came, so it may be cut off and begun
again, by anybody.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Set

from deployer.errors import DeployerError, DeploymentError
from deployer.formats.manifest import EtcEntry, Manifest
from deployer.formats.messages import Action, Plan
from deployer.host import deadman
from deployer.host.account_files import undo_accounts
from deployer.host.accounts_apply import apply_accounts
from deployer.host.disk import DIRECTORY, LINK, PathRefused
from deployer.host.etc import EtcWriter, in_order_of_removal, undo_path
from deployer.host.ledger import Ledger, Metadata, OwnedPath
from deployer.host.machine import Machine
from deployer.host.paths import ETC, NEXT_LEDGER
from deployer.host.transaction import Record
from deployer.host.unit_changes import UnitChanges, planned_changes, unit_changes

_PRIVATE = Metadata(0o600, 0, 0)
_LOG_LINES = 15


@dataclass(eq=False)
class UnitsFailed(DeploymentError):
    """Units that must run do not."""

    failures: Mapping[str, str]

    @property
    def message(self) -> str:
        """Which, and why."""
        return "; ".join(f"{name}: {reason}" for name, reason in sorted(self.failures.items()))

    @property
    def remedy(self) -> str:
        """Where to look."""
        return "The last lines of each unit's journal are in the report."


@dataclass(eq=False)
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

    def forward(self, plan: Plan, *, restore_accounts: bool = False) -> None:
        """Do what the plan says. `restore_accounts` removes the accounts that we made instead of locking them."""
        names = sorted({unit.name for unit in (*self._previous.units, *self._next.units)})
        before = self._machine.systemd.states(names) if names else {}
        repairs = self._record.repair
        changes = planned_changes(plan.actions) if repairs else unit_changes(self._previous, self._next, before)
        self._undo.append(
            {
                "op": "units",
                "active": sorted(name for name, status in before.items() if status.is_active),
                "failing": sorted(name for name, status in before.items() if status.is_crashing),
                "touched": sorted(changes.touched),
            }
        )
        for action in changes.skipped:
            self._events.action(action)
        self._change_units("stop", changes.stop, changes)
        ledger = apply_accounts(self._machine, self._ledger, self._next, note=self._note, restore=restore_accounts)
        ledger = self._change_etc(plan, ledger)
        if repairs:
            self._set_aside(plan)
        ledger = self._set_sysctl(ledger)
        ledger = self._make_tmpfiles(ledger)
        self._machine.disk.write(NEXT_LEDGER, ledger.to_bytes(), _PRIVATE)
        if self._touches_units(plan, names):
            self._machine.systemd.daemon_reload()
            self._check_loaded()
        for name in changes.reread:
            self._note(Action("unit", "change", name, changes.because.get(name, "")))
        self._start_units(changes)

    def _change_etc(self, plan: Plan, ledger: Ledger) -> Ledger:
        declared: Dict[str, EtcEntry] = {entry.path: entry for entry in self._next.etc}
        actions = {action.target[len(ETC) + 1 :]: action for action in plan.actions if action.kind == "etc"}
        owned: Dict[str, OwnedPath] = dict(ledger.etc)
        made = list(ledger.directories)
        tag = self._record.transaction[:8]
        writer = EtcWriter(self._machine.disk, self._undo, system=self._record.next, tag=tag, note=self._note)
        early, late = in_order_of_removal([path for path in owned if path not in declared], declared)
        for path in early:
            self._take_away(writer, path, owned, actions)
        made = self._make_way(writer, made, declared)
        for path in sorted(declared):
            if path not in owned or path in actions or self._must_rewrite(declared[path], owned[path]):
                owned[path] = writer.put(declared[path], owned.get(path), made)
                if path in actions:
                    self._note(actions[path])
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

    def _must_rewrite(self, entry: EtcEntry, owned: OwnedPath) -> bool:
        """Whether the new generation declares a path otherwise than the previous one did."""
        before = {item.path: item for item in self._previous.etc}.get(entry.path)
        same = before is not None and dataclasses.replace(before, replace=entry.replace) == entry
        return not same and (entry.kind != owned.kind or entry.kind != "link")

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

    def _touches_units(self, plan: Plan, names: Sequence[str]) -> bool:
        return bool(names) or any(action.target.startswith("/etc/systemd/") for action in plan.actions)

    def _check_loaded(self) -> None:
        """daemon-reload succeeds with a unit file that says nothing."""
        states = self._machine.systemd.states([unit.name for unit in self._next.units if "@." not in unit.name])
        wrong = {
            unit.name: f"systemd does not accept it (LoadState={states[unit.name].load})"
            for unit in self._next.units
            if unit.name in states and states[unit.name].load != ("masked" if unit.masked else "loaded")
        }
        if wrong:
            raise UnitsFailed(wrong)

    def _start_units(self, changes: UnitChanges) -> None:
        failures: Dict[str, str] = {}
        for verb, names in (("reload", changes.reload), ("restart", changes.restart), ("start", changes.start)):
            failures.update(self._change_units(verb, names, changes))
        if failures:
            for name in sorted(failures):
                for line in self._machine.systemd.log_tail(name, _LOG_LINES):
                    self._events.log(f"{name}: {line}")
            raise UnitsFailed(failures)

    def _change_units(self, verb: str, names: Sequence[str], changes: UnitChanges) -> Mapping[str, str]:
        if not names:
            return {}
        for name in names:
            self._note(Action("unit", verb, name, changes.because.get(name, "")))
        manifest = self._previous if verb == "stop" else self._next
        return self._machine.systemd.change(verb, names, manifest.timing.unit_timeout)

    # -- back ------------------------------------------------------------------------------------------------------------

    def back(self, *, booting: bool) -> None:
        """Put everything back as the undo log says. At boot nothing is waited for."""
        records = self._undo.records()
        units: Mapping[str, Any] = next((record for record in records if record["op"] == "units"), {})
        touched: Set[str] = set(units.get("touched", ()))
        was_active: Set[str] = set(units.get("active", ()))
        failing: Set[str] = set(units.get("failing", ()))
        systemd, timeout = self._machine.systemd, self._previous.timing.unit_timeout
        if not booting and records:
            known = {unit.name for unit in self._previous.units}
            suspects = sorted((touched | {unit.name for unit in self._next.units if unit.name not in known}) - was_active)
            now = systemd.states(suspects) if suspects else {}
            stale = [name for name in suspects if now[name].is_active or now[name].is_failed]
            if stale:
                systemd.change("stop", stale, timeout)
        troubles: List[str] = []
        for record in reversed(records):
            try:
                self._undo_one(record)
            except (DeployerError, OSError) as error:
                troubles.append(error.message if isinstance(error, DeployerError) else str(error))
        self._restart_what_ran(records, touched, was_active, failing, booting=booting)
        if troubles:
            raise NotRestored(troubles)

    def _restart_what_ran(
        self,
        records: Sequence[Mapping[str, Any]],
        touched: Set[str],
        was_active: Set[str],
        failing: Set[str],
        *,
        booting: bool,
    ) -> None:
        systemd = self._machine.systemd
        has_units = bool(self._previous.units or self._next.units or touched)
        if not has_units and not any("/systemd/" in record.get("path", "") for record in records):
            return
        systemd.daemon_reload()
        if booting:
            gone = sorted({unit.name for unit in self._next.units} - {unit.name for unit in self._previous.units})
            systemd.queue("stop", gone)
            systemd.queue("start", ["default.target"])
            return
        # What failed before us may fail again: it is tried, and proves nothing. That it failed is not forgotten either.
        systemd.queue("start", sorted(touched & was_active & failing))
        self._bring_back(sorted((touched & was_active) - failing), touched - failing)

    def _bring_back(self, names: Sequence[str], touched: Set[str]) -> None:
        """Those that ran before run again, with what they ran with."""
        systemd, timeout = self._machine.systemd, self._previous.timing.unit_timeout
        systemd.forget_failures(sorted(touched))
        failures: Dict[str, str] = {}
        if names:
            now = systemd.states(names)
            reverse = unit_changes(self._next, self._previous, now)
            for verb, group in (
                ("reload", [name for name in names if name in reverse.reload]),
                (
                    "restart",
                    [name for name in names if name in reverse.restart or (name in reverse.stop and now[name].is_active)],
                ),
                ("start", [name for name in names if not now[name].is_active]),
            ):
                if group:
                    for name in group:
                        self._note(Action("unit", verb, name, "rolled back"))
                    failures.update(systemd.change(verb, group, timeout))
        if failures:
            raise UnitsFailed(failures)

    def _undo_one(self, record: Mapping[str, Any]) -> None:
        operation, disk = record["op"], self._machine.disk
        if operation == "path":
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
