"""Jobs for units of one systemd, of which the transaction tells as each begins."""

from __future__ import annotations

from typing import Final, Mapping, Sequence

from deployer.errors import DeploymentError
from deployer.formats.messages import Action
from deployer.host.machine import Machine

RENEW: Final = "renew"
"""A restart of several, all of which are stopped before one is started."""
BRIEFLY, AGAIN = "stop-briefly", "start-again"
"""A stop and a start with nothing but our changes between."""
_TOLD: Final = {RENEW: "restart", BRIEFLY: "stop", AGAIN: "start"}


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


class ToldJobs:
    """Of PID 1, or of one user's systemd."""

    def __init__(self, machine: Machine, user: str) -> None:
        """`machine` has the systemd that is asked; `user`: whose it is."""
        self.systemd = machine.systemd
        self._events, self._user = machine.events, user

    def run(self, verb: str, names: Sequence[str], because: Mapping[str, str], timeout: float) -> Mapping[str, str]:
        """Do to units what a verb of systemctl, or one of the three above, says; what failed, with the reason."""
        if not names:
            return {}
        special = {RENEW: self.systemd.renew, BRIEFLY: self.systemd.stop_briefly, AGAIN: self.systemd.start_again}
        for name in names:
            self.note(_TOLD.get(verb, verb), name, because[name])
        return special[verb](names, timeout) if verb in special else self.systemd.change(verb, names, timeout)

    def runs(self, names: Sequence[str]) -> Mapping[str, str]:
        """What names the run of each now."""
        return {name: status.run for name, status in (self.systemd.states(names) if names else {}).items()}

    def follow(self, runs: Mapping[str, str], timeout: float) -> Mapping[str, str]:
        """Those that systemd restarts along with others, which was just done; `runs` are those of before.

        Whoever asks for both has one start ended in its midst by the other unit's stop: systemd-journal-flush.service fails so
        where journald goes away under it. Here systemd has begun: it is waited for, and asked only for what it has left.
        """
        if not runs:
            return {}
        now = self.systemd.states(sorted(runs))
        begun = {name for name, status in now.items() if status.is_changing or status.run != runs[name]}
        left = [name for name in sorted(runs) if name not in begun]
        over = {name for name in begun if now[name].is_once and now[name].active == "inactive" and not now[name].is_changing}
        failed = self.systemd.change("restart", left, timeout) if left else {}
        waited = sorted(begun - over)  # a start joins a job that is under way, and does nothing to what runs
        return {**failed, **(self.systemd.change("start", waited, timeout) if waited else {})}

    def note(self, verb: str, name: str, because: str) -> None:
        """Tell of what is done to a unit."""
        kind, target = ("user-unit", f"{self._user}/{name}") if self._user else ("unit", name)
        self._events.action(Action(kind, verb, target, because))
