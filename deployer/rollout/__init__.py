"""Many hosts, one after another: waves, gates, budgets, and what happens when something fails.

The decisions are pure: `plan_waves` says who goes when, `RolloutMachine` says what to do next. `roll_out` carries them out
over `HostOperations`, with every step in history. What happens is told as the events of `deployer.rollout.events`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deployer.rollout.errors import CanaryMissing, StrategyKeyUnknown, StrategyValueWrong
    from deployer.rollout.events import Event, EventSink
    from deployer.rollout.executor import Cancellation, Rollout, preflight, roll_out
    from deployer.rollout.machine import Ending, Result, RolloutMachine
    from deployer.rollout.operations import HostOperations, HostResult, Preflight, RolloutHost
    from deployer.rollout.strategy import Amount, OnFailure, Strategy
    from deployer.rollout.waves import Wave, plan_waves

__all__ = [
    "Amount",
    "CanaryMissing",
    "Cancellation",
    "Ending",
    "Event",
    "EventSink",
    "HostOperations",
    "HostResult",
    "OnFailure",
    "Preflight",
    "Result",
    "Rollout",
    "RolloutHost",
    "RolloutMachine",
    "Strategy",
    "StrategyKeyUnknown",
    "StrategyValueWrong",
    "Wave",
    "plan_waves",
    "preflight",
    "roll_out",
]

_HOMES: Final = {
    "deployer.rollout.errors": (
        "CanaryMissing",
        "StrategyKeyUnknown",
        "StrategyValueWrong",
    ),
    "deployer.rollout.events": (
        "Event",
        "EventSink",
    ),
    "deployer.rollout.executor": (
        "Cancellation",
        "Rollout",
        "preflight",
        "roll_out",
    ),
    "deployer.rollout.machine": (
        "Ending",
        "Result",
        "RolloutMachine",
    ),
    "deployer.rollout.operations": (
        "HostOperations",
        "HostResult",
        "Preflight",
        "RolloutHost",
    ),
    "deployer.rollout.strategy": (
        "Amount",
        "OnFailure",
        "Strategy",
    ),
    "deployer.rollout.waves": (
        "Wave",
        "plan_waves",
    ),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: command lines that only print need no event loop and no database."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(name)
