"""Carrying out what was decided for units, and taking it back: one job's time for each step, and nothing hangs longer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Collection, Dict, Final, List, Mapping, Optional, Sequence, Set

from deployer.errors import DeployerError, DeploymentError
from deployer.formats.manifest import Manifest
from deployer.formats.messages import Action
from deployer.host.machine import Machine, SystemdPort, UnitStatus
from deployer.host.preloading import Preloading, preloads
from deployer.host.process import ProgramFailed
from deployer.host.unit_changes import UnitChanges, unit_changes
from deployer.host.unit_names import is_template, template_of

_LOG_LINES: Final = 15
_RENEW: Final = "renew"
"""A restart of several, all of which are stopped before one is started."""
_BRIEFLY, _AGAIN = "stop-briefly", "start-again"
"""A stop and a start with nothing but our changes between."""
_TOLD: Final = {_RENEW: "restart", _BRIEFLY: "stop", _AGAIN: "start"}
_RELOADING, _NOT_RELOADED = "reloading", "not-reloaded"
"""Records of the undo log: systemd may have loaded the new definitions; it refused to."""


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


class UnitJobs:
    """The units of one host's change from `previous` to `following`."""

    def __init__(self, machine: Machine, previous: Manifest, following: Manifest, *, user: str = "") -> None:
        """Each job has the time that the generation gives it whose definitions are loaded then. `user`: whose manager it is."""
        self._user = user
        self._machine, self._previous, self._next = machine, previous, following
        self._systemd: SystemdPort = machine.systemd
        self._preloading: Optional[Preloading] = None

    # -- forward ---------------------------------------------------------------------------------------------------------

    def record(self, before: Mapping[str, UnitStatus], changes: UnitChanges) -> None:
        """Lay down what runs, before anything is done to it."""
        self._machine.undo.append(
            {
                "op": "units",
                **({"user": self._user} if self._user else {}),
                "active": sorted(name for name, status in before.items() if status.is_active),
                "failing": sorted(name for name, status in before.items() if status.is_crashing),
                "touched": sorted(changes.touched),
                "runs": {name: before[name].run for name in sorted(changes.touched & set(before)) if before[name].run},
            }
        )

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
            self._systemd.forget_failures([name for name in changes.start if name not in changes.stop])
        self._fail_if(self._change(_BRIEFLY if _all_return(changes) else "stop", changes.stop, changes, self._previous))

    def start_preloaded(self, changes: UnitChanges) -> None:
        """Start at once what was stopped, where systemd has read all it needs. Raises `UnitsFailed`."""
        if self._preloading is not None:
            self._preloading.forget_environments()
            self._fail_if(self._change(_AGAIN, changes.stop, changes, self._next))

    def reload_definitions(self) -> Mapping[str, UnitStatus]:
        """Have systemd read its files, and look at what it made of ours. Raises `UnitsFailed`."""
        if self._preloading is not None:
            self._preloading.take_away()
        self._reload()
        states = self._systemd.states([unit.name for unit in self._next.units if not is_template(unit.name)])
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
            self._note("restart", name, changes.because.get(name, ""))
        runs = self._runs(changes.along)
        failures: Dict[str, str] = {}
        for verb, names in (
            ("reload", changes.reload),
            (_RENEW, changes.renew),
            ("restart", (*alone, *sorted(strays))),
        ):
            failures.update(self._change(verb, names, changes, self._next))
        failures.update(self._follow(runs, self._next.timing.unit_timeout))
        verb = _AGAIN if _all_return(changes) else "start"
        failures.update(self._change(verb, [name for name in start if name not in strays], changes, self._next))
        self._fail_if(failures)

    def queue_for_boot(self, previous: Manifest, following: Manifest) -> None:
        """The jobs of this boot were made for `previous`, and nothing has started yet."""
        gone = {unit.name for unit in previous.units} - {unit.name for unit in following.units}
        self._systemd.queue("stop", sorted(gone))
        self._systemd.queue("start", ["default.target"])

    def _fail_if(self, failures: Mapping[str, str]) -> None:
        if not failures:
            return
        for name in sorted(failures):
            for line in self._systemd.log_tail(name, _LOG_LINES):
                self._machine.events.log(f"{name}: {line}")
        raise UnitsFailed(failures)

    def _change(self, verb: str, names: Sequence[str], changes: UnitChanges, manifest: Manifest) -> Mapping[str, str]:
        return self._run(verb, names, {name: changes.because.get(name, "") for name in names}, manifest.timing.unit_timeout)

    def _run(self, verb: str, names: Sequence[str], because: Mapping[str, str], timeout: float) -> Mapping[str, str]:
        if not names:
            return {}
        special = {_RENEW: self._systemd.renew, _BRIEFLY: self._systemd.stop_briefly, _AGAIN: self._systemd.start_again}
        for name in names:
            self._note(_TOLD.get(verb, verb), name, because[name])
        return special[verb](names, timeout) if verb in special else self._systemd.change(verb, names, timeout)

    def _reload(self) -> None:
        mine = {"user": self._user} if self._user else {}
        self._machine.undo.append({"op": _RELOADING, **mine})
        try:
            self._systemd.daemon_reload()
        except ProgramFailed:
            self._machine.undo.append({"op": _NOT_RELOADED, **mine})
            raise

    def _runs(self, names: Sequence[str]) -> Mapping[str, str]:
        """What names the run of each now."""
        return {name: status.run for name, status in (self._systemd.states(names) if names else {}).items()}

    def _follow(self, runs: Mapping[str, str], timeout: float) -> Mapping[str, str]:
        """Those that systemd restarts along with others, which was just done; `runs` are those of before.

        Whoever asks for both has one start ended in its midst by the other unit's stop: systemd-journal-flush.service fails so
        where journald goes away under it. Here systemd has begun: it is waited for, and asked only for what it has left.
        """
        if not runs:
            return {}
        now = self._systemd.states(sorted(runs))
        begun = {name for name, status in now.items() if status.is_changing or status.run != runs[name]}
        left = [name for name in sorted(runs) if name not in begun]
        over = {name for name in begun if now[name].is_once and now[name].active == "inactive" and not now[name].is_changing}
        failed = self._systemd.change("restart", left, timeout) if left else {}
        waited = sorted(begun - over)  # a start joins a job that is under way, and does nothing to what runs
        return {**failed, **(self._systemd.change("start", waited, timeout) if waited else {})}

    def _note(self, verb: str, name: str, because: str) -> None:
        kind, target = ("user-unit", f"{self._user}/{name}") if self._user else ("unit", name)
        self._machine.events.action(Action(kind, verb, target, because))

    # -- back ------------------------------------------------------------------------------------------------------------

    def stop_what_came(self, records: Sequence[Mapping[str, Any]]) -> None:
        """What runs, and did not before."""
        units = _laid_down(records)
        known = {unit.name for unit in self._previous.units}
        new = {unit.name for unit in self._next.units if unit.name not in known}
        suspects = sorted((units.touched | new) - units.active)
        now = self._systemd.states(suspects) if suspects else {}
        # What had failed before, and is down, stays as it is: stopping it would forget that it failed.
        failed = {name for name in suspects if now[name].is_failed and name not in units.failing}
        left = [name for name in suspects if name in failed or now[name].is_active or _is_stopping(now[name])]
        self._stop_for_good(left, self._previous.timing.unit_timeout)

    def bring_back(self, records: Sequence[Mapping[str, Any]], troubles: List[str], *, booting: bool) -> None:
        """Once the files are as they were: those that ran run again, with what they ran with. Raises `UnitsFailed`."""
        units = _laid_down(records)
        has_units = bool(self._previous.units or self._next.units or units.touched)
        if not has_units and not any("/systemd/" in record.get("path", "") for record in records):
            return
        try:
            self._systemd.daemon_reload(patient=True)
        except DeployerError as error:
            # Where systemd refused this each time on the way forward too, the old definitions are those that it has.
            said = [record["op"] for record in records]
            if said.count(_RELOADING) > said.count(_NOT_RELOADED):
                troubles.append(error.message)
        if booting:
            self.queue_for_boot(self._next, self._previous)
            return
        # What failed before us may fail again: it is tried, and proves nothing. That it failed is not forgotten either.
        ran = units.touched & units.active
        self._systemd.queue("start", sorted(ran & units.failing))
        self._systemd.forget_failures(sorted(units.touched - units.failing))
        self._start_again(sorted(ran - units.failing), units.runs)

    def _start_again(self, names: Sequence[str], runs: Mapping[str, str]) -> None:
        if not names:
            return
        timeout = self._previous.timing.unit_timeout
        now = self._systemd.states(names)
        stuck = [name for name in names if _is_stopping(now[name])]
        if stuck:
            self._stop_for_good(stuck, 0.0)
            now = self._systemd.states(names)
        gone = self._without_definition(now)
        names = [name for name in names if name not in gone]
        reverse = unit_changes(self._next, self._previous, now)
        untouched = {name for name in names if now[name].is_active and now[name].run and now[name].run == runs.get(name)}
        reloading = {name for name in reverse.reload if now[name].active == "reloading"}
        restart = {*reverse.restart, *(name for name in reverse.stop if name in now and now[name].is_active)} - untouched
        # Only where all are restarted does systemd restart all that go along with them.
        along = {*reverse.along} & {*names} if restart >= {*reverse.restart} else set()
        groups: Dict[str, Set[str]] = {
            "reload": {*reverse.reload} - reloading,
            _RENEW: {*reverse.renew} & restart,
            "restart": (restart | reloading) - {*reverse.renew, *reverse.implied} - along,
            "start": {name for name in names if not now[name].is_active},
        }

        def run(verb: str, extra: Collection[str] = ()) -> Mapping[str, str]:
            chosen = [name for name in names if name in groups[verb] or name in extra]
            return self._run(verb, chosen, dict.fromkeys(chosen, "rolled back"), timeout)

        # The old configuration must be taken up, by a restart where a reload does not do it.
        unheard = run("reload")
        for name in sorted(along):
            self._note("restart", name, "rolled back")
        before = self._runs(sorted(along))
        failures = {**run(_RENEW), **run("restart", unheard), **self._follow(before, timeout), **run("start")}
        if failures:
            raise UnitsFailed(failures)

    def _without_definition(self, now: Mapping[str, UnitStatus]) -> Set[str]:
        """Those that ran on after their definition went or was masked, before us: nobody can start them with it again."""
        defined = {unit.name for unit in self._previous.units if not unit.masked}
        known = defined | {name for name in now if template_of(name) in defined}
        gone = {name for name, status in now.items() if status.load in ("not-found", "masked")} - known
        for name in sorted(gone):
            self._machine.events.log(f"{name}: nothing defines any more what it ran with, and it is left {now[name].active}")
        return gone

    def _stop_for_good(self, names: Sequence[str], timeout: float) -> None:
        """A rollback does not wait for what does not stop. No time: it has had its time."""
        stuck: Collection[str] = names
        if names and timeout:
            stuck = self._systemd.change("stop", names, timeout)
        for name in stuck:
            self._systemd.kill(name)


def _all_return(changes: UnitChanges) -> bool:
    """Whether all that is stopped is started again, so that every moment between counts."""
    return bool(changes.stop) and {*changes.stop} <= {*changes.start}


def as_if_running(states: Mapping[str, UnitStatus], manifest: Manifest) -> Mapping[str, UnitStatus]:
    """At boot: how units would be if it had been left to a manifest."""
    runs = {unit.name for unit in manifest.units if unit.start}
    return {name: dataclasses.replace(one, active="active") if name in runs else one for name, one in states.items()}


@dataclass(frozen=True)
class _Before:
    touched: Set[str] = dataclasses.field(default_factory=set)
    active: Set[str] = dataclasses.field(default_factory=set)
    failing: Set[str] = dataclasses.field(default_factory=set)
    runs: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _laid_down(records: Sequence[Mapping[str, Any]]) -> _Before:
    record: Mapping[str, Any] = next((record for record in records if record["op"] == "units"), {})
    touched, active, failing = (set(record.get(key, ())) for key in ("touched", "active", "failing"))
    return _Before(touched, active, failing, record.get("runs", {}))


def _is_stopping(status: UnitStatus) -> bool:
    return status.active == "deactivating"
