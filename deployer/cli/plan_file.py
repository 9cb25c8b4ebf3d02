"""A saved plan: what was shown, to be done later exactly so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.errors import ConfigurationError
from deployer.formats.frames import FrameRefused, parse_document
from deployer.formats.messages import Plan

FORMAT: Final = 1


@dataclass(eq=False)
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


def write_plan(path: Path, plans: Mapping[str, Plan]) -> None:
    """Save plans by host name. Raises `PlanFileRefused` where the file can't be written."""
    document = {"format": FORMAT, "hosts": {name: plan.to_document() for name, plan in plans.items()}}
    try:
        path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise PlanFileRefused(str(path), error.strerror or str(error)) from None


def read_plan(path: Path) -> dict[str, Plan]:
    """Read what `write_plan` wrote. Raises `PlanFileRefused`."""
    try:
        document = parse_document(path.read_bytes())
        hosts = document.get("hosts")
        if document.get("format") != FORMAT or not isinstance(hosts, dict):
            raise PlanFileRefused(str(path), f"its format is not {FORMAT}")
        return {name: Plan.from_document(plan) for name, plan in hosts.items()}
    except OSError as error:
        raise PlanFileRefused(str(path), error.strerror or str(error)) from None
    except FrameRefused as error:
        raise PlanFileRefused(str(path), error.message) from None
