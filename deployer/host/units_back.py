"""Taking back what was done to units: what came stops, and what ran before us runs again, with what it ran with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Collection, List, Mapping, Sequence, Set, Tuple

from deployer.errors import DeployerError
from deployer.formats.manifest import Manifest
from deployer.host.machine import Machine, UnitStatus
from deployer.host.told_jobs import RENEW, ToldJobs, UnitsFailed
from deployer.host.unit_changes import UnitChanges, unit_changes
from deployer.host.unit_jobs import queue_for_boot
from deployer.host.unit_names import template_of
from deployer.host.unit_records import may_have_reloaded, units_before


class UnitsBack:
    """The units of one host's change from `previous` to `following`, on the way back."""

    def __init__(self, machine: Machine, previous: Manifest, following: Manifest, *, user: str = "") -> None:
        """`user`: whose manager it is."""
        self._machine, self._previous, self._next = machine, previous, following
        self._jobs = ToldJobs(machine, user)

    def stop_what_came(self, records: Sequence[Mapping[str, Any]]) -> None:
        """What runs, and did not before."""
        units = units_before(records)
        known = {unit.name for unit in self._previous.units}
        new = {unit.name for unit in self._next.units if unit.name not in known}
        suspects = sorted((units.touched | new) - units.active)
        now = self._jobs.systemd.states(suspects) if suspects else {}
        # What had failed before, and is down, stays as it is: stopping it would forget that it failed.
        failed = {name for name in suspects if now[name].is_failed and name not in units.failing}
        left = [name for name in suspects if name in failed or now[name].is_active or _is_stopping(now[name])]
        self._stop_for_good(left, self._previous.timing.unit_timeout)

    def bring_back(self, records: Sequence[Mapping[str, Any]], troubles: List[str], *, booting: bool) -> None:
        """Once the files are as they were: those that ran run again, with what they ran with. Raises `UnitsFailed`."""
        units = units_before(records)
        has_units = bool(self._previous.units or self._next.units or units.touched)
        if not has_units and not any("/systemd/" in record.get("path", "") for record in records):
            return
        try:
            self._jobs.systemd.daemon_reload(patient=True)
        except DeployerError as error:
            # Where systemd refused this each time on the way forward too, the old definitions are those that it has.
            if may_have_reloaded(records):
                troubles.append(error.message)
        if booting:
            queue_for_boot(self._machine.systemd, self._next, self._previous)
            return
        # What failed before us may fail again: it is tried, and proves nothing. That it failed is not forgotten either.
        ran = units.touched & units.active
        self._jobs.systemd.queue("start", sorted(ran & units.failing))
        self._jobs.systemd.forget_failures(sorted(units.touched - units.failing))
        self._start_again(sorted(ran - units.failing), units.runs)

    def _start_again(self, names: Sequence[str], runs: Mapping[str, str]) -> None:
        if not names:
            return
        timeout = self._previous.timing.unit_timeout
        now = self._jobs.systemd.states(names)
        stuck = [name for name in names if _is_stopping(now[name])]
        if stuck:
            self._stop_for_good(stuck, 0.0)
            now = self._jobs.systemd.states(names)
        gone = self._without_definition(now)
        names = [name for name in names if name not in gone]
        way = way_back(names, now, runs, unit_changes(self._next, self._previous, now))

        def run(verb: str, extra: Collection[str] = ()) -> Mapping[str, str]:
            chosen = [name for name in names if name in way.verbs[verb] or name in extra]
            return self._jobs.run(verb, chosen, dict.fromkeys(chosen, "rolled back"), timeout)

        # The old configuration must be taken up, by a restart where a reload does not do it.
        unheard = run("reload")
        for name in way.along:
            self._jobs.note("restart", name, "rolled back")
        before = self._jobs.runs(way.along)
        failures = {**run(RENEW), **run("restart", unheard), **self._jobs.follow(before, timeout), **run("start")}
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
            stuck = self._jobs.systemd.change("stop", names, timeout)
        for name in stuck:
            self._jobs.systemd.kill(name)


@dataclass(frozen=True)
class WayBack:
    """What brings units back that ran before us."""

    verbs: Mapping[str, Set[str]]
    along: Tuple[str, ...]
    """Those that systemd restarts along with others."""


def way_back(names: Sequence[str], now: Mapping[str, UnitStatus], runs: Mapping[str, str], reverse: UnitChanges) -> WayBack:
    """For units that are to run as they did: `runs` names the run in which each was, `reverse` is the change back.

    What is still in that run was never touched.
    """
    untouched = {name for name in names if now[name].is_active and now[name].run and now[name].run == runs.get(name)}
    reloading = {name for name in reverse.reload if now[name].active == "reloading"}
    restart = {*reverse.restart, *(name for name in reverse.stop if name in now and now[name].is_active)} - untouched
    # Only where all are restarted does systemd restart all that go along with them.
    along = {*reverse.along} & {*names} if restart >= {*reverse.restart} else set()
    return WayBack(
        {
            "reload": {*reverse.reload} - reloading,
            RENEW: {*reverse.renew} & restart,
            "restart": (restart | reloading) - {*reverse.renew, *reverse.implied} - along,
            "start": {name for name in names if not now[name].is_active},
        },
        tuple(sorted(along)),
    )


def _is_stopping(status: UnitStatus) -> bool:
    return status.active == "deactivating"
