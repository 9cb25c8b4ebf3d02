"""Carrying out what was decided for units: one job's time for each step, and nothing hangs longer. `units_back` takes it back."""

from __future__ import annotations

import dataclasses
from typing import Dict, Final, Mapping, Optional, Sequence

from deployer.formats.manifest import Manifest
from deployer.host.machine import Machine, SystemdPort, UnitStatus
from deployer.host.preloading import Preloading, preloads
from deployer.host.process import ProgramFailed
from deployer.host.told_jobs import AGAIN, BRIEFLY, RENEW, ToldJobs, UnitsFailed
from deployer.host.unit_changes import UnitChanges
from deployer.host.unit_names import is_template
from deployer.host.unit_records import NOT_RELOADED, RELOADING, units_record

_LOG_LINES: Final = 15


class UnitJobs:
    """The units of one host's change from `previous` to `following`."""

    def __init__(self, machine: Machine, previous: Manifest, following: Manifest, *, user: str = "") -> None:
        """Each job has the time that the generation gives it whose definitions are loaded then. `user`: whose manager it is."""
        self._machine, self._previous, self._next = machine, previous, following
        self._jobs = ToldJobs(machine, user)
        self._mine = {"user": user} if user else {}
        self._preloading: Optional[Preloading] = None

    def record(self, before: Mapping[str, UnitStatus], changes: UnitChanges) -> None:
        """Lay down what runs, before anything is done to it."""
        self._machine.undo.append({**units_record(before, changes.touched), **self._mine})

    def preload(self, changes: UnitChanges) -> None:
        """Where all that is stopped can be started by what systemd reads now, have it read that. Raises `ProgramFailed`."""
        found = preloads(self._previous.units, self._next.units, changes)
        if not found:
            return
        self._preloading = Preloading(self._machine, found)
        self._preloading.lay()
        self._reload()
        if not self._preloading.was_read():
            self._preloading.take_away()
            self._preloading = None
            self._reload()

    @property
    def has_preloaded(self) -> bool:
        """Whether systemd has read definitions from elsewhere, which are to be taken away."""
        return self._preloading is not None

    def stop(self, changes: UnitChanges) -> None:
        """What must be stopped with its old definition. Raises `UnitsFailed`."""
        if _all_return(changes):
            self._jobs.systemd.forget_failures([name for name in changes.start if name not in changes.stop])
        self._fail_if(self._change(BRIEFLY if _all_return(changes) else "stop", changes.stop, changes, self._previous))

    def start_preloaded(self, changes: UnitChanges) -> None:
        """Start at once what was stopped, where systemd has read all it needs. Raises `UnitsFailed`."""
        if self._preloading is not None:
            self._preloading.forget_environments()
            self._fail_if(self._change(AGAIN, changes.stop, changes, self._next))

    def reload_definitions(self) -> Mapping[str, UnitStatus]:
        """Have systemd read its files, and look at what it made of ours. Raises `UnitsFailed`."""
        if self._preloading is not None:
            self._preloading.take_away()
        self._reload()
        states = self._jobs.systemd.states([unit.name for unit in self._next.units if not is_template(unit.name)])
        wrong = {
            unit.name: f"systemd does not accept it (LoadState={states[unit.name].load})"
            for unit in self._next.units
            if unit.name in states and states[unit.name].load != ("masked" if unit.masked else "loaded")
        }
        self._fail_if(wrong)
        return states

    def start(self, changes: UnitChanges, states: Mapping[str, UnitStatus]) -> None:
        """Reload, restart and start. `states` are those after the definitions were read. Raises `UnitsFailed`."""
        again = {*changes.stop} if self.has_preloaded else set()
        start = [name for name in changes.start if name not in again]
        # Whoever started a unit again after we stopped it did so with its old definition: a start would leave it that.
        strays = {name for name in {*changes.stop} & {*start} if name in states and states[name].is_active}
        alone = [name for name in changes.restart if name not in {*changes.renew, *changes.implied, *changes.along}]
        for name in (*changes.implied, *changes.along):
            self._jobs.note("restart", name, changes.because.get(name, ""))
        runs = self._jobs.runs(changes.along)
        failures: Dict[str, str] = {}
        for verb, names in (
            ("reload", changes.reload),
            (RENEW, changes.renew),
            ("restart", (*alone, *sorted(strays))),
        ):
            failures.update(self._change(verb, names, changes, self._next))
        failures.update(self._jobs.follow(runs, self._next.timing.unit_timeout))
        verb = AGAIN if _all_return(changes) else "start"
        failures.update(self._change(verb, [name for name in start if name not in strays], changes, self._next))
        self._fail_if(failures)

    # -- details ---------------------------------------------------------------------------------------------------------

    def _fail_if(self, failures: Mapping[str, str]) -> None:
        if not failures:
            return
        for name in sorted(failures):
            for line in self._jobs.systemd.log_tail(name, _LOG_LINES):
                self._machine.events.log(f"{name}: {line}")
        raise UnitsFailed(failures)

    def _change(self, verb: str, names: Sequence[str], changes: UnitChanges, manifest: Manifest) -> Mapping[str, str]:
        return self._jobs.run(verb, names, {name: changes.because.get(name, "") for name in names}, manifest.timing.unit_timeout)

    def _reload(self) -> None:
        self._machine.undo.append({"op": RELOADING, **self._mine})
        try:
            self._jobs.systemd.daemon_reload()
        except ProgramFailed:
            self._machine.undo.append({"op": NOT_RELOADED, **self._mine})
            raise


def queue_for_boot(systemd: SystemdPort, previous: Manifest, following: Manifest) -> None:
    """The jobs of this boot were made for `previous`, and nothing has started yet."""
    gone = {unit.name for unit in previous.units} - {unit.name for unit in following.units}
    systemd.queue("stop", sorted(gone))
    systemd.queue("start", ["default.target"])


def as_if_running(states: Mapping[str, UnitStatus], manifest: Manifest) -> Mapping[str, UnitStatus]:
    """At boot: how units would be if it had been left to a manifest."""
    runs = {unit.name for unit in manifest.units if unit.start}
    return {name: dataclasses.replace(one, active="active") if name in runs else one for name, one in states.items()}


def _all_return(changes: UnitChanges) -> bool:
    """Whether all that is stopped is started again, so that every moment between counts."""
    return bool(changes.stop) and {*changes.stop} <= {*changes.start}
