"""Many hosts, one after another: waves, gates, budgets, and what happens when something fails.

The decisions are pure: `plan_waves` says who goes when, `RolloutMachine` says what to do next. `roll_out` carries them out
over `HostOperations`, with every step in history. What happens is told as the events of `deployer.rollout.events`.
"""

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
