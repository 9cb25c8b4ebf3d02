"""Health checks: probes that must be green before a generation may be confirmed. All at once, and none endless.

Each check has a thread of its own. The caller's thread only listens: when the time is over it goes on without those that
have not answered, so that no name server, socket or program can hold it up.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from dataclasses import dataclass
from typing import Callable, Collection, Dict, Final, FrozenSet, List, Mapping, Optional, Sequence, Set, Tuple

from deployer.formats.manifest import Check, Timing
from deployer.formats.messages import CheckResult
from deployer.host.machine import SystemdPort
from deployer.host.probes import Prober
from deployer.host.readings import Attempt

_TICK: Final = 0.2
"""Seconds after which we look whether somebody wants to stop."""
_SHORTEST_PAUSE: Final = 0.05
_GRACE: Final = 1.0
"""Seconds beyond its own time-out that a single attempt is listened for."""
_AT_ONCE: Final = 32
"""Attempts that are under way together."""
_BACKWARD: Final = frozenset({"journal"})
"""Kinds that tell of the time that has passed: what they say counts at the end."""
_WAS_RED: Final = "; it was red before this deploy"

Report = Callable[[CheckResult], object]


@dataclass(frozen=True)
class Baseline:
    """How the checks were before anything changed."""

    red: FrozenSet[str] = frozenset()
    """Names of checks that were red."""
    restarts: Optional[Mapping[str, int]] = None
    """How often systemd had restarted each unit. None: what it says at the first attempt counts."""
    journal: str = ""
    """The cursor at which the journal ended. Empty: the journal of this boot counts."""

    def begun_anew(self, units: Collection[str]) -> Baseline:
        """After the switch has started or restarted some units: systemd counts theirs from 0 again."""
        return dataclasses.replace(self, restarts={**(self.restarts or {}), **dict.fromkeys(units, 0)})


def run_checks(
    checks: Sequence[Check],
    timing: Timing,
    *,
    report: Report,
    should_stop: Callable[[], bool],
    baseline: Baseline = Baseline(),
    systemd: Optional[SystemdPort] = None,
) -> Tuple[CheckResult, ...]:
    """Probe until every check is green, or the deadline is over; then see that all stay green for `min_healthy_time`.

    `report` gets each result as it is known. A `check_deadline` of 0 means one attempt each.
    """
    if not checks:
        return ()
    prober = Prober(systemd, baseline.restarts, baseline.journal)
    gate = _Gate(checks, prober, baseline, report, should_stop, once=timing.check_deadline <= 0)
    try:
        seconds = timing.check_deadline if timing.check_deadline > 0 else max(check.timeout for check in checks) + _GRACE
        if gate.turn_green(seconds) and timing.check_deadline > 0:
            gate.stay_green(timing.min_healthy_time)
            gate.look_back()
        return gate.results()
    finally:
        gate.close()


def take_baseline(
    checks: Sequence[Check], systemd: Optional[SystemdPort] = None, *, should_stop: Callable[[], bool] = lambda: False
) -> Baseline:
    """Probe each check once, before anything changes. Of the journal, only where it ends: nothing counts before that."""
    once = Timing(check_deadline=0.0, min_healthy_time=0.0)
    states = [check for check in checks if check.kind not in _BACKWARD]
    results = run_checks(states, once, report=lambda result: None, should_stop=should_stop, systemd=systemd)
    units = sorted({check.unit for check in checks if check.kind == "unit"})
    return Baseline(frozenset(result.name for result in results if not result.healthy), Prober(systemd, None).restarts_of(units))


def reads_journal(checks: Sequence[Check]) -> bool:
    """Whether any of them asks for the journal since the activation began."""
    return any(check.kind in _BACKWARD for check in checks)


class _Gate:
    """All checks together."""

    def __init__(
        self,
        checks: Sequence[Check],
        prober: Prober,
        baseline: Baseline,
        report: Report,
        should_stop: Callable[[], bool],
        *,
        once: bool,
    ) -> None:
        self._report, self._should_stop, self._baseline, self._once = report, should_stop, baseline, once
        self._began = time.monotonic()
        self._news: queue.Queue[_News] = queue.Queue()
        self._prober = prober
        slots = threading.BoundedSemaphore(_AT_ONCE)
        self._runs = [_Run(check, prober, self._news, slots, once=once) for check in checks]
        self._results: Dict[str, CheckResult] = {}
        self._turned_green: Set[str] = set()
        self._reported: List[str] = []

    def turn_green(self, seconds: float) -> bool:
        """Whether all have become green in time."""
        deadline = self._began + seconds
        for one in self._runs:
            one.start()
        waiting = {one.check.name for one in self._runs}
        while waiting:
            news = self._listen(deadline)
            if news is None:
                break
            one, attempt, is_green = news
            self._note(one, attempt)
            if is_green or self._once:
                waiting.discard(one.check.name)
                self._tell(one.check.name)
        for one in self._runs:
            if one.check.name in waiting:
                self._give_up(one, seconds)
        return self._all_healthy()

    def stay_green(self, seconds: float) -> None:
        """Until the time is over, or the first has turned red."""
        deadline = time.monotonic() + seconds
        if seconds <= 0 or not self._all_healthy():
            return
        streaks: Dict[str, int] = {}
        for one in self._runs:
            one.resume()
        while True:
            news = self._listen(deadline)
            if news is None:
                return
            one, attempt, _ = news
            name = one.check.name
            streaks[name] = 0 if attempt.healthy else streaks.get(name, 0) + 1
            if attempt.healthy:
                self._note(one, attempt)
            elif streaks[name] >= one.check.failures:
                self._turn_red(one, attempt)
                return

    def look_back(self) -> None:
        """At the end, once more, what tells of the time that has passed meanwhile."""
        for one in self._runs:
            if one.check.kind in _BACKWARD and self._all_healthy() and not self._should_stop():
                attempt = self._prober.attempt(one.check)
                if not attempt.healthy:
                    self._turn_red(one, attempt)

    def _all_healthy(self) -> bool:
        return all(result.healthy for result in self._results.values())

    def _turn_red(self, one: _Run, attempt: Attempt) -> None:
        self._note(one, Attempt(False, f"it was green, and turned red: {attempt.message}"))
        self._tell(one.check.name)

    def results(self) -> Tuple[CheckResult, ...]:
        """In the order of the checks."""
        return tuple(self._results[one.check.name] for one in self._runs)

    def close(self) -> None:
        """Nobody listens any more."""
        for one in self._runs:
            one.stop()

    def _listen(self, deadline: float) -> Optional[_News]:
        """The next attempt's end; None where the time is over, or somebody wants to stop."""
        while not self._should_stop():
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            try:
                return self._news.get(timeout=min(left, _TICK))
            except queue.Empty:
                continue
        return None

    def _give_up(self, one: _Run, seconds: float) -> None:
        result = self._results.get(one.check.name)
        words = result.message if result is not None else f"it had not answered after {seconds:g} s"
        if result is not None and result.healthy:
            words = f"{words}, but not {one.check.successes} times in a row"
        self._note(one, Attempt(False, words))
        self._tell(one.check.name)

    def _note(self, one: _Run, attempt: Attempt) -> None:
        name = one.check.name
        if attempt.healthy:
            self._turned_green.add(name)
        self._results[name] = CheckResult(
            name=name,
            kind=one.check.kind,
            healthy=attempt.healthy,
            message=attempt.message,
            attempts=max(one.attempts, 1),
            seconds=round(time.monotonic() - self._began, 3),
            was_red_before=name in self._baseline.red,
        )

    def _tell(self, name: str) -> None:
        result = self._results[name]
        if not result.healthy and result.was_red_before and name not in self._turned_green:
            self._results[name] = dataclasses.replace(result, message=result.message + _WAS_RED)
        self._report(self._results[name])


class _Run(threading.Thread):
    """One check. A daemon: an attempt that hangs does not keep the process alive."""

    def __init__(
        self, check: Check, prober: Prober, news: queue.Queue[_News], slots: threading.BoundedSemaphore, *, once: bool
    ) -> None:
        super().__init__(name=f"check-{check.name}", daemon=True)
        self.check = check
        self.attempts = 0
        self._prober, self._news, self._slots, self._once = prober, news, slots, once
        self._streak = 0
        self._goes_on = threading.Event()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Probe until green; then, where asked to, until stopped."""
        if not self._once:
            self._stopped.wait(self.check.initial_delay)
        while not self._stopped.is_set():
            with self._slots:
                if self._stopped.is_set():
                    return
                attempt = self._prober.attempt(self.check)
            self.attempts += 1
            self._streak = self._streak + 1 if attempt.healthy else 0
            is_green = self._streak >= self.check.successes
            self._news.put((self, attempt, is_green))
            if self._once or (is_green and not self._go_on()):
                return
            self._stopped.wait(max(self.check.interval, _SHORTEST_PAUSE))

    def resume(self) -> None:
        """Go on probing after having become green."""
        self._goes_on.set()

    def stop(self) -> None:
        """Probe no more."""
        self._stopped.set()
        self._goes_on.set()

    def _go_on(self) -> bool:
        self._goes_on.wait()
        return not self._stopped.is_set()


_News = Tuple[_Run, Attempt, bool]
"""An attempt, and whether its check is green with it."""
