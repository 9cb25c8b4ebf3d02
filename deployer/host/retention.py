"""Which generations stay, and why: a pure function of what a host knows of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Dict, FrozenSet, List, Mapping, Tuple

from deployer.formats.manifest import Retention


@dataclass(frozen=True)
class Known:
    """What a host knows of its generations."""

    systems: Mapping[int, str]
    """By number."""
    made: Mapping[int, float]
    """When, in seconds since 1970."""
    current: int = 0
    booted: int = 0
    good: str = ""
    """The system that was last confirmed."""
    recorded: FrozenSet[int] = frozenset()
    """Those that the journal names: of the transaction under way, or where the last one came from."""
    next_boot: int = 0
    """That the next boot will bring, where that is not the current one."""
    pinned: FrozenSet[int] = frozenset()


def reasons_to_keep(known: Known, policy: Retention, now: float) -> Dict[int, Tuple[str, ...]]:
    """Why each generation stays; without a reason it goes."""
    numbers = sorted(known.systems)
    newest = set(numbers[-max(1, policy.keep) :])
    reasons: Dict[int, List[str]] = {number: [] for number in numbers}
    for number, needed in needed_generations(known).items():
        reasons[number].extend(needed)
    for position, number in enumerate(numbers):
        if number in newest:
            reasons[number].append(f"one of the newest {max(1, policy.keep)}")
        # A generation was in use until the next one was made.
        until = known.made[numbers[position + 1]] if position + 1 < len(numbers) else now
        if policy.keep_for > 0 and until > now - policy.keep_for:
            reasons[number].append("in use not long ago")
    return {number: tuple(found) for number, found in reasons.items()}


def needed_generations(known: Known) -> Dict[int, Tuple[str, ...]]:
    """Those that no policy and no person may remove, with the reasons."""
    good = max((number for number, system in known.systems.items() if system == known.good), default=0)
    named: List[Tuple[str, List[int]]] = [
        ("current", [known.current]),
        ("booted", [known.booted]),
        ("last confirmed", [good]),
        ("next boot", [known.next_boot]),
        ("recorded", sorted(known.recorded)),
        ("pinned", sorted(known.pinned)),
    ]
    found: Dict[int, Tuple[str, ...]] = {}
    for reason, numbers in named:
        for number in numbers:
            if number in known.systems:
                found[number] = (*found.get(number, ()), reason)
    return found


def without_records(known: Known) -> Known:
    """The same, for a person who deletes one: where the last transaction came from may go."""
    return dataclasses.replace(known, recorded=frozenset())
