"""Why a job of a unit failed, in words, by what systemctl, systemd and the unit say. Pure."""

from __future__ import annotations

import re
from typing import Dict, Final, Mapping, Sequence

from deployer.host.manager_line import DONE
from deployer.host.process import Completed, one_line
from deployer.host.unit_state import UnitState

_ENDED: Final = {
    "dependency": "a unit that it needs failed",
    "failed": "its start failed",
    "timeout": "its start took longer than systemd allows it",
}
"""What systemd says of a job that did not end well, in words."""
_FAILED_TO: Final = re.compile(r"Failed to [a-z-]+ (\S+): (.+)")
_JOB_FOR: Final = re.compile(r"(?:Job|A dependency job) for (\S+) (.+?)(?:\.?$|\. See )")


def complaints(ended: Completed, verb: str, names: Sequence[str]) -> Dict[str, str]:
    """What systemctl complains of, by unit. What it says of no unit in particular is said of all."""
    if ended.status == 0:
        return {}
    words = ended.stderr.decode(errors="replace")
    failures: Dict[str, str] = {}
    for pattern in (_FAILED_TO, _JOB_FOR):
        for line in words.splitlines():
            found = pattern.match(line.strip())
            if found is not None and found.group(1) in names:
                prefix = "a unit that it needs " if line.startswith("A dependency") else ""
                failures.setdefault(found.group(1), one_line(prefix + found.group(2)))
    if failures:
        return failures
    return dict.fromkeys(names, ended.last_words or f"systemctl {verb} failed")


def ended_badly(ended: Mapping[str, str]) -> Dict[str, str]:
    """Of starts that have ended, by systemd's word for how, those that did not do what they were to."""
    return {name: _ENDED.get(how, how) for name, how in ended.items() if how not in (DONE, "")}


def after_their_jobs(states: Mapping[str, UnitState], failures: Mapping[str, str]) -> Dict[str, str]:
    """Those that failed though their job did not, and those whose job failed, with what became of them."""
    reasons = {name: _failure(state) for name, state in states.items()}
    said = {name: f"{reason}: it is {states[name]}" for name, reason in failures.items()}
    return {**{name: reason for name, reason in reasons.items() if reason}, **said}


def _failure(state: UnitState) -> str:
    if state.load not in ("loaded", "template"):
        return f"systemd does not know it (LoadState={state.load})"
    return f"it is {state}" if state.is_crashing else ""
