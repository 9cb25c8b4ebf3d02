"""What went wrong, told again at the end, with the last words of each host and the next command to type."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from deployer.rollout import events
from deployer.rollout.events import Event
from deployer.ui.text import Paint, count, escape

LOG_LINES: Final = 10
"""Of a failed host, at the end."""
MOST: Final = 20
"""Hosts that are told in full."""


@dataclass(slots=True)
class _Failure:
    kind: str
    message: str
    remedy: str = ""
    log: tuple[str, ...] = ()


@dataclass(slots=True)
class Failures:
    """Collects them from the events."""

    _found: dict[str, _Failure] = field(default_factory=dict)
    _logs: dict[str, deque[str]] = field(default_factory=dict)
    _checks: dict[str, list[str]] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take one event."""
        match event:
            case events.HostLog(host, line):
                self._logs.setdefault(host, deque(maxlen=LOG_LINES)).append(line)
            case events.CheckReported(host, result) if not result.healthy:
                where = " (from the controller)" if result.from_controller else ""
                self._checks.setdefault(host, []).append(f"check {result.name}{where}: {result.message}")
            case events.HostRolledBack(host, reason, log):
                self._found[host] = _Failure("rolled back", reason, log=log)
            case events.HostFailed(host, error, log):
                self._found[host] = _Failure("failed", _text(error, "message"), _text(error, "remedy"), log)
            case events.HostUnreachable(host, error):
                self._found[host] = _Failure("unreachable", _text(error, "message"), _text(error, "remedy"))
            case events.HostNeedsPerson(host, error, log):
                self._found[host] = _Failure("needs a person", _text(error, "message"), _text(error, "remedy"), log)
            case events.HostConfirmed(host) | events.HostStarted(host) | events.HostStaged(host) | events.HostPushed(host):
                self._found.pop(host, None)

    def render(self, paint: Paint) -> str:
        """The failures, or nothing."""
        lines: list[str] = []
        for host, failure in list(self._found.items())[:MOST]:
            lines += ["", f"{paint(escape(host), 'bold')}: {paint(failure.kind, 'red')}: {escape(failure.message)}"]
            lines += [f"    {escape(line)}" for line in self._checks.get(host, ())[-3:]]
            log = failure.log or tuple(self._logs.get(host, ()))
            lines += [f"    | {escape(line)}" for line in log[-LOG_LINES:]]
            if failure.remedy:
                lines.append(f"    {escape(failure.remedy)}")
            lines.append(f"    Next: {paint(next_command(host, failure.kind), 'cyan')}")
        left = len(self._found) - MOST
        if left > 0:
            lines += ["", f"and {count(left, 'more host')}: deployer history show"]
        return "\n".join([*lines, "", ""]) if lines else ""


def next_command(host: str, kind: str) -> str:
    """What to type next about a host that ended so."""
    name = shlex.quote(escape(host))
    match kind:
        case "unreachable":
            return f"deployer status --on {name}"
        case "needs a person":
            return f"deployer status --on {name}"
        case _:
            return f"deployer deploy --on {name} --dry-run"


def error_text(error: Mapping[str, Any]) -> str:
    """The message of an error's document, on one line."""
    return _text(error, "message").splitlines()[0] if _text(error, "message") else _text(error, "error") or "no reason was given"


def _text(error: Mapping[str, Any], key: str) -> str:
    value = error.get(key)
    return escape(value, keep_newlines=True) if isinstance(value, str) else ""
