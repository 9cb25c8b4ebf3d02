"""A saved plan: what was shown, to be done later exactly so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.errors import ConfigurationError
from deployer.formats.frames import FrameRefused, parse_document
from deployer.formats.goals import Goal
from deployer.formats.messages import Plan

FORMAT: Final = 1
FORMAT_WITH_GOAL: Final = 2
"""Of a plan whose goal is not `switch`: a version that knows no goals must not carry it out."""


class PlanFileRefused(ConfigurationError):
    """A file that should hold a plan does not."""

    path: str
    reason: str

    @property
    def message(self) -> str:
        """Why."""
        return f"{self.path} is not a plan: {self.reason}"

    @property
    def remedy(self) -> str:
        """How to make one."""
        return "Make one with `deployer plan --out FILE`."


class PlanHasGoal(ConfigurationError):
    """A saved plan was to be carried out with another goal than it was made for."""

    path: str
    goal: str

    @property
    def message(self) -> str:
        """Its own."""
        return f"{self.path} was made for the goal {self.goal}, and does exactly that"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Leave --goal and --reboot out, or make another plan with them."


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What was shown."""

    hosts: Mapping[str, Plan]
    goal: Goal = Goal.SWITCH
    reboot: bool = False


def write_plan(path: Path, plan: SavedPlan) -> None:
    """Save it. Raises `PlanFileRefused` where the file can't be written."""
    document: dict[str, object] = {
        "format": FORMAT,
        "hosts": {name: found.to_document() for name, found in plan.hosts.items()},
    }
    if plan.goal is not Goal.SWITCH:
        document |= {"format": FORMAT_WITH_GOAL, "goal": str(plan.goal), "reboot": plan.reboot}
    try:
        path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise PlanFileRefused(str(path), error.strerror or str(error)) from None


def read_plan(path: Path) -> SavedPlan:
    """Read what `write_plan` wrote. Raises `PlanFileRefused`."""
    try:
        document = parse_document(path.read_bytes())
        hosts = document.get("hosts")
        goal, reboot = Goal.parse(str(document.get("goal", ""))), document.get("reboot", False)
        if document.get("format") not in (FORMAT, FORMAT_WITH_GOAL) or not isinstance(hosts, dict):
            raise PlanFileRefused(str(path), f"its format is neither {FORMAT} nor {FORMAT_WITH_GOAL}")
        if goal is None or not isinstance(reboot, bool):
            raise PlanFileRefused(str(path), "its goal is none")
        return SavedPlan({name: Plan.from_document(plan) for name, plan in hosts.items()}, goal, reboot)
    except OSError as error:
        raise PlanFileRefused(str(path), error.strerror or str(error)) from None
    except FrameRefused as error:
        raise PlanFileRefused(str(path), error.message) from None
