"""Cutting a piece of work off at one of its system calls, having the host recover, and judging where it stands then."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any, Final

from deployer.formats.messages import CONFIRMED, ROLLED_BACK
from tests.crash.patient import TRANSACTION, Patient
from tests.crash.works import Work

BEFORE: Final = "killed before"
AFTER: Final = "killed after"
NO_SPACE: Final = "no space for"
FAILS: Final = "input/output error of"
FAULTS: Final[dict[str, dict[str, Any]]] = {
    BEFORE: {"kill": "before"},
    AFTER: {"kill": "after"},
    NO_SPACE: {"error": errno.ENOSPC},
    FAILS: {"error": errno.EIO},
}
_SYNCS: Final = ("fsync", "fdatasync", "syncfs", "sync")
_TAKE_SPACE: Final = (
    *_SYNCS,
    *("openat", "open", "write", "pwrite64", "mkdir", "mkdirat", "symlinkat", "symlink", "link", "linkat"),
    *("rename", "renameat", "fallocate", "ftruncate"),
)
BY_HOST: Final = "by the host"
"""The dead-man's timer acts, as it does at the deadline. Where it is not set, nothing is under way."""
BY_BOOT: Final = "by its boot"
"""The host crashes too, and boots."""
_QUIET: Final = ("", CONFIRMED, ROLLED_BACK)


@dataclass(frozen=True)
class Point:
    """One place to cut, and how."""

    work: str
    number: int
    call: str
    fault: str
    recovery: str = BY_HOST

    def __str__(self) -> str:
        """For people."""
        return f"{self.work}: {self.fault} call {self.number}, {self.call}; ended {self.recovery}"


class Cutter:
    """Cuts one piece of work on a patient, again and again."""

    def __init__(self, patient: Patient, work: Work) -> None:
        """Do the work once with nothing going wrong, to see its calls and where it leads."""
        self._patient, self._work = patient, work
        patient.restore(work.start)
        done = patient.run(*work.begin(), frames=work.frames)
        assert done["status"] == 0, done
        self.calls: list[str] = done["calls"]
        self._programs: set[int] = set(done["programs"])
        if work.booting:
            self._boot()
        patient.at_rest()
        self._new = patient.look()

    def points(self, recovery: str = BY_HOST) -> list[Point]:
        """All places where the work can be cut so that it shows.

        A kill before a call leaves what one after the call before it leaves, unless a program was started in between; and a
        call that syncs leaves no more to a kill than it found. Where two are the same, one of them is tried.
        """
        recovery = BY_BOOT if self._work.booting else recovery
        found: list[Point] = []
        for at, call in enumerate(self.calls):
            syncs_only = at > 0 and self.calls[at - 1].split()[0] in _SYNCS and at not in self._programs
            ways = [BEFORE] * (not syncs_only) + [AFTER] * (at + 1 in self._programs or at + 1 == len(self.calls))
            ways += [NO_SPACE] * (call.split()[0] in _TAKE_SPACE) + [FAILS]
            found += [Point(self._work.name, at, call, way, recovery) for way in ways]
        return found

    def wrong(self, point: Point) -> list[str]:
        """Cut there, recover, and say all that is not as it must be."""
        patient, work = self._patient, self._work
        patient.restore(work.start)
        done = patient.run(*work.begin(), frames=work.frames, fault={"number": point.number, **FAULTS[point.fault]})
        if not done["hit"] and work.fixed:
            return [f"it never came to the call: {done}"]
        if point.recovery == BY_BOOT:
            self._boot()
        elif work.again:
            patient.run(*work.begin(), frames=work.frames, plainly=True)
        else:
            self._recover()
        return self._judge()

    def _boot(self) -> None:
        self._patient.reboot()
        self._patient.settled()
        self._patient.request()

    def _recover(self) -> None:
        """As the host does itself; then comes the next request."""
        seen = self._patient.at_rest()
        if "deployer-deadman.timer" in seen["transient"]:
            self._patient.run("recover", "--timer", plainly=True)
        elif seen["state"] not in _QUIET:
            raise AssertionError(f"no timer stands, and the transaction is {seen['state']}")
        self._patient.request()

    def _judge(self) -> list[str]:
        patient, work = self._patient, self._work
        seen = patient.settled()
        state = seen["state"] if seen["transaction"] == TRANSACTION else ""
        if state not in work.ends:
            return [f"the journal says {seen['state']} of {seen['transaction']}"]
        disk = patient.listing()
        expected = self._new if state == CONFIRMED or work.again else work.start.standing
        wrong = [f"left over: {found}" for found in patient.left_over(disk, seen)]
        wrong += [f"red: {line}" for line in seen["red"]]
        wrong += [f"systemd says {seen['health']}"] * (seen["health"] != "running")
        wrong += [f"otherwise: {line}" for line in expected.difference(patient.standing(disk, seen))]
        if work.again:
            wrong += [f"damaged: {found}" for found in patient.damage()]
            wrong += [f"the collector left {name}" for name in patient.collect()]
        return wrong
