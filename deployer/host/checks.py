"""Health checks: probes that must be green before a generation may be confirmed. All at once, and none endless."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Callable, Dict, Final, List, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from deployer.errors import DeployerError
from deployer.formats.manifest import Check, Timing
from deployer.formats.messages import CheckResult
from deployer.host.process import one_line, run

LARGEST_BODY: Final = 1 << 20
"""Bytes of an answer that are read and searched."""
SETTLED: Final = 1.0
"""Seconds for which a unit must have been active: one that dies at once is active for a moment too."""
_TICK: Final = 0.2
_SHOW: Final = 10.0

Report = Callable[[CheckResult], object]


@dataclass(frozen=True)
class Attempt:
    """One probe's end."""

    healthy: bool
    message: str


def run_checks(
    checks: Sequence[Check], timing: Timing, *, report: Report, should_stop: Callable[[], bool]
) -> Tuple[CheckResult, ...]:
    """Probe until every check is green, or the deadline is over; then see that all stay green for `min_healthy_time`.

    `report` gets each result once it is known. A `check_deadline` of 0 means one attempt.
    """
    started = time.monotonic()
    stop = threading.Event()
    runs = [_Run(check, started, started + timing.check_deadline, stop) for check in checks]
    for one in runs:
        one.start()
    _await(runs, stop, should_stop)
    results = [one.result() for one in runs]
    for result in results:
        report(result)
    if not all(result.healthy for result in results) or timing.min_healthy_time <= 0 or should_stop():
        return tuple(results)
    return _stay_green(runs, results, timing.min_healthy_time, report, should_stop)


def _stay_green(
    runs: Sequence[_Run], results: Sequence[CheckResult], seconds: float, report: Report, should_stop: Callable[[], bool]
) -> Tuple[CheckResult, ...]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not should_stop():
        pause = min([one.check.interval for one in runs] + [deadline - time.monotonic()])
        time.sleep(max(pause, 0.0))
        for index, one in enumerate(runs):
            attempt = one.attempt()
            if not attempt.healthy:
                turned = CheckResult(one.check.name, False, f"it was green, and turned red: {attempt.message}")
                report(turned)
                return (*results[:index], turned, *results[index + 1 :])
    return tuple(results)


class _Run(threading.Thread):
    """One check, until it is green or its time is over."""

    def __init__(self, check: Check, started: float, deadline: float, stop: threading.Event) -> None:
        super().__init__(name=f"check-{check.name}", daemon=True)
        self.check = check
        self._began, self._deadline, self._stopped = started, deadline, stop
        self._restarts: Optional[int] = None
        self._attempts = 0
        self._last = Attempt(False, "it was not tried")
        self._seconds = 0.0

    def run(self) -> None:
        streak = 0
        self._stopped.wait(min(self.check.initial_delay, max(self._deadline - time.monotonic(), 0.0)))
        while not self._stopped.is_set():
            self._last = self.attempt()
            self._attempts += 1
            self._seconds = time.monotonic() - self._began
            streak = streak + 1 if self._last.healthy else 0
            if streak >= self.check.successes or time.monotonic() >= self._deadline:
                return
            self._stopped.wait(min(max(self.check.interval, 0.05), max(self._deadline - time.monotonic(), 0.0)))

    def attempt(self) -> Attempt:
        """Probe once. Whatever goes wrong is the probe's answer."""
        try:
            if self.check.kind == "unit":
                return self._unit()
            return _PROBES[self.check.kind](self.check)
        except KeyError:
            return Attempt(False, f"there is no kind of check '{one_line(self.check.kind)}'")
        except DeployerError as error:
            return Attempt(False, one_line(error.message))
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Attempt(False, one_line(f"{type(error).__name__}: {error}" if not str(error) else str(error)))

    def result(self) -> CheckResult:
        """How it ended."""
        return CheckResult(
            self.check.name, self._last.healthy, self._last.message, max(self._attempts, 1), round(self._seconds, 3)
        )

    def _unit(self) -> Attempt:
        shown = _show(self.check.unit)
        state, sub = shown.get("ActiveState", "unknown"), shown.get("SubState", "unknown")
        restarts = int(shown.get("NRestarts") or 0)
        if self._restarts is None:
            self._restarts = restarts
        if state != "active":
            return Attempt(False, f"{self.check.unit} is {state} ({sub})")
        if restarts > self._restarts:
            return Attempt(False, f"{self.check.unit} has been restarted {restarts - self._restarts} times since the activation")
        age = time.clock_gettime(time.CLOCK_MONOTONIC) - int(shown.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        if age < SETTLED and time.monotonic() + SETTLED - age < self._deadline:
            return Attempt(False, f"{self.check.unit} has been active for only {age:.1f} s")
        return Attempt(True, f"{self.check.unit} is active ({sub})")


def _await(runs: Sequence[_Run], stop: threading.Event, should_stop: Callable[[], bool]) -> None:
    """Until all have ended, or somebody wants to stop. Each ends by its own deadline and one attempt's time-out."""
    for one in runs:
        while one.is_alive():
            one.join(_TICK)
            if should_stop():
                stop.set()
                one.join(_SHOW)
                break


def _http(check: Check) -> Attempt:
    parts = urlsplit(check.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return Attempt(False, f"{one_line(check.url)} is no http address")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=check.timeout, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=check.timeout)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"User-Agent": "deployer", "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(LARGEST_BODY).decode("utf-8", "replace")
    finally:
        connection.close()
    if answer.status != check.status:
        return Attempt(False, f"{check.url} answered {answer.status}, and {check.status} is healthy: {one_line(body, 120)}")
    if check.body and check.body not in body:
        return Attempt(False, f"{check.url} answered {answer.status} without the text '{one_line(check.body, 80)}'")
    return Attempt(True, f"{check.url} answered {answer.status}")


def _tcp(check: Check) -> Attempt:
    with socket.create_connection((check.address, check.port), timeout=check.timeout):
        return Attempt(True, f"{check.address}:{check.port} accepts connections")


def _command(check: Check) -> Attempt:
    ended = run(list(check.command), timeout=check.timeout, check=False)
    if ended.status == 0:
        return Attempt(True, f"{check.command[0]} ended with 0")
    return Attempt(False, one_line(f"{check.command[0]} ended with {ended.status}: {ended.last_words}"))


def _show(unit: str) -> Dict[str, str]:
    properties = "ActiveState,SubState,NRestarts,ActiveEnterTimestampMonotonic"
    lines: List[str] = run(["systemctl", "show", f"--property={properties}", "--", unit], timeout=_SHOW).text.splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


_PROBES: Final[Dict[str, Callable[[Check], Attempt]]] = {"http": _http, "tcp": _tcp, "command": _command}
