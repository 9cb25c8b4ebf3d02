"""The sentinel: the half of the dead-man's switch that needs no timer of systemd's.

It is a shell that waits, in a service of its own, and costs a host nothing while it does: no Python starts until it acts. It
counts by /proc/uptime, which goes on in suspend and never jumps, and looks every few seconds, so that a host that slept
across the deadline acts as it wakes. Somebody who stops the timer leaves the sentinel, somebody who kills the sentinel
leaves the timer, and the boot unit is there where both are gone.
"""

from __future__ import annotations

from typing import Final, List, Mapping, Sequence

_SCRIPT: Final = """\
IFS=. read -r now rest </proc/uptime && end=$((now + $1)) && shift || exit 1
while IFS=. read -r now rest </proc/uptime && [ "$now" -lt "$end" ]; do
  sleep $((end - now < 5 ? end - now : 5)) || exit 1
done
until "$@"; do sleep 20 || exit 1; done
"""
"""Seconds, then a command that is run until it ends well. Both times are from the same file: a container may count its own."""

PROPERTIES: Final[Mapping[str, str]] = {
    "Description": "Undo a deployment that nobody confirms, should its timer be gone",
    "DefaultDependencies": "no",
    "Conflicts": "shutdown.target",
    "Before": "shutdown.target",
    "OOMScoreAdjust": "-900",
    "CollectMode": "inactive-or-failed",
    "TimeoutStopSec": "5",
}
"""Of its service: small as it is, it must outlive what eats the memory, and it must start in the middle of a boot too."""


def command(seconds: float, action: Sequence[str]) -> List[str]:
    """What waits for `seconds`, whole ones, and then runs `action`, again and again until it succeeds."""
    return ["/bin/sh", "-c", _SCRIPT, "deployer-sentinel", f"{seconds:.0f}", *action]
