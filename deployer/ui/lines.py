"""Events as lines: JSON for programs, sentences for logs and pipes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

from deployer.rollout import events
from deployer.rollout.events import Event
from deployer.ui.failures import Failures, error_text
from deployer.ui.text import Paint, count, duration, escape, name_of, size

_GOOD: Final = frozenset({"confirmed", "staged", "pushed", "unchanged"})
PHASES: Final = {
    "prepared": "prepared",
    "staged": "waiting for the boot",
    "rebooting": "rebooting",
    "armed": "armed",
    "switching": "switching",
    "checking": "checking",
    "healthy": "healthy, confirming",
    "restarted": "coming up",
    "confirmed": "confirmed",
    "rolling-back": "rolling back",
    "rolled-back": "rolled back",
    "rollback-failed": "rollback failed",
}
"""The states of a host's transaction, for people."""


class JsonSink:
    """One JSON object a line, each with `time` (ISO 8601, UTC)."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.time) -> None:
        """Write to `stream`, usually standard output."""
        self._stream = stream
        self._clock = clock

    def __call__(self, event: Event) -> None:
        """Write one event."""
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": moment, **event.to_json()}, separators=(",", ":"))
        self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is kept back."""


class PlainSink:
    """A sentence a line, without colours that move: for pipes, logs and dumb terminals."""

    def __init__(self, stream: TextIO, *, paint: Paint | None = None, verbose: bool = False) -> None:
        """Write to `stream`, usually standard error; `verbose` tells every path, action and log line."""
        self._stream = stream
        self._paint = paint or Paint()
        self._verbose = verbose
        self._failures = Failures()

    def __call__(self, event: Event) -> None:
        """Write what is worth a line."""
        self._failures.add(event)
        line = sentence(event, self._paint, verbose=self._verbose)
        if line:
            self._stream.write(line + "\n")
        if isinstance(event, events.RolloutFinished):
            self._stream.write(self._failures.render(self._paint))
            self._stream.write(closing(event, self._paint) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is kept back."""


def closing(event: events.RolloutFinished, paint: Paint) -> str:
    """The last line of a rollout."""
    tally: dict[str, int] = {}
    for outcome in event.outcomes.values():
        tally[outcome] = tally.get(outcome, 0) + 1
    order = sorted(tally.items(), key=lambda item: (item[0] not in _GOOD, item[0]))
    counts = ", ".join(f"{number} {outcome.replace('-', ' ')}" for outcome, number in order)
    style = {"done": "green", "partial": "yellow"}.get(event.ending, "red")
    reason = f": {escape(event.reason)}" if event.reason and event.ending != "done" else ""
    ending = paint(event.ending.replace("-", " "), style, "bold")
    return f"Rollout {event.rollout} {ending} in {duration(event.seconds)}{reason}" + (f" ({counts})" if counts else "")


def sentence(event: Event, paint: Paint, *, verbose: bool) -> str:
    """One event for people; empty: not worth a line."""
    match event:
        case events.HostUnreachable(host, error):
            return f"{escape(host)}: {paint('unreachable', 'red')}: {error_text(error)}"
        case events.HostUnchanged(host) if verbose:
            return f"{escape(host)}: unchanged"
        case events.HostStarted(host):
            return f"{escape(host)}: started"
        case events.ClosureCopied(host, copied, paths) if paths:
            return f"{escape(host)}: copied {count(paths, 'path')}, {size(copied)}"
        case events.HostPhase(host, state) if state not in {"confirmed", "rolled-back"}:
            return f"{escape(host)}: {PHASES.get(state, escape(state))}"
        case events.ActionDone(host, action) if action.kind == "kept":
            return f"{escape(host)}: {paint('kept', 'yellow')} {escape(action.target)} ({escape(action.because)})"
        case events.CheckReported(host, result) if verbose or not result.healthy:
            health = paint("healthy", "green") if result.healthy else paint("not healthy", "red")
            where = " (from the controller)" if result.from_controller else ""
            return f"{escape(host)}: check {escape(result.name)}{where} {health}: {escape(result.message)}"
        case events.HostConfirmed(host, generation, _, seconds):
            return f"{escape(host)}: {paint('confirmed', 'green')} generation {generation} in {duration(seconds)}"
        case events.HostStaged(host, generation):
            return f"{escape(host)}: {paint('staged', 'green')} generation {generation} for the next boot"
        case events.HostPushed(host):
            return f"{escape(host)}: {paint('pushed', 'green')}"
        case events.HostRolledBack(host, reason):
            return f"{escape(host)}: {paint('rolled back', 'red')}: {escape(reason)}"
        case events.HostReturned(host, generation):
            where = f"generation {generation}" if generation else "the state before deployer"
            return f"{escape(host)}: {paint('returned', 'yellow')} to {where}"
        case events.HostFailed(host, error):
            return f"{escape(host)}: {paint('failed', 'red')}: {error_text(error)}"
        case events.HostNeedsPerson(host, error):
            return f"{escape(host)}: {paint('needs a person', 'red', 'bold')}: {error_text(error)}"
        case events.RolloutStarted(number, waves, unchanged):
            changing = sum(len(wave) for wave in waves)
            if not changing:
                return f"Nothing to do: {count(len(unchanged), 'host')} unchanged" if unchanged else ""
            return f"Rollout {number}: {count(changing, 'host')} in {count(len(waves), 'wave')}, {len(unchanged)} unchanged"
        case events.WaveStarted(wave, of, hosts, canary):
            kind = " (canary)" if canary else ""
            return paint(f"Wave {wave} of {of}{kind}: {count(len(hosts), 'host')}", "bold")
        case events.BakeStarted(_, seconds):
            return f"Waiting {duration(seconds)} before the next wave"
        case events.RolloutStopped(reason):
            return paint(f"Stopping: {escape(reason)}", "yellow")
        case events.RollbackStarted(hosts):
            return paint(f"Taking back {count(len(hosts), 'host')}", "yellow")
        case events.BuildStarted(derivation):
            return f"Building {name_of(derivation)}"
        case events.BuildFinished(derivation, succeeded, seconds, error):
            if succeeded:
                return f"Built {name_of(derivation)} in {duration(seconds)}"
            return f"{paint('Failed to build', 'red')} {name_of(derivation)}: {error_text(error)}"
        case _:
            return _detail(event) if verbose else ""


def _detail(event: Event) -> str:
    match event:
        case events.PathFetched(path, received):
            return f"Fetched {name_of(path)}, {size(received)}"
        case events.PathCopied(host, path, copied):
            return f"{escape(host)}: copied {name_of(path)}, {size(copied)}"
        case events.ActionDone(host, action):
            because = f" ({escape(action.because)})" if action.because else ""
            return f"{escape(host)}: {escape(action.operation)} {escape(action.kind)} {escape(action.target)}{because}"
        case events.HostLog(host, line):
            return f"{escape(host)}: | {escape(line)}"
        case events.BuildLog(derivation, line):
            return f"{name_of(derivation)}| {escape(line)}"
        case _:
            return ""
