"""Who is changed together, and in which order: a pure function of the strategy and the hosts."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from deployer.rollout.errors import CanaryMissing
from deployer.rollout.operations import RolloutHost
from deployer.rollout.strategy import Amount, Strategy

Select = Callable[[str], Iterable[str]]
"""The names of the hosts that a selector picks; `Fleet.select` in disguise."""


@dataclass(frozen=True, slots=True)
class Wave:
    """Hosts that are changed together, in one stage of a rollout."""

    hosts: tuple[str, ...]
    canary: bool = False


def plan_waves(
    strategy: Strategy,
    hosts: Sequence[RolloutHost],
    *,
    changing: Collection[str] | None = None,
    unreachable: Collection[str] = (),
    select: Select | None = None,
) -> tuple[Wave, ...]:
    """The waves of a rollout over `hosts`, which come in the inventory's order.

    `changing` names those that need change (None: all); only they are in waves, and sizes count only them. A canary that is
    named and `unreachable` is in the canary's wave too, so that the gate sees it. A named canary that needs no change is
    good already. Raises `CanaryMissing` where the canary is named and none of `hosts` is one.
    """
    names = [host.name for host in hosts if changing is None or host.name in changing]
    canary = _canary(strategy.canary, names, hosts, unreachable, select) if names else ()
    rest = [name for name in names if name not in set(canary)]
    waves = [Wave(tuple(canary), canary=True)] if canary else []
    match strategy.waves:
        case None:
            waves += [Wave(tuple(rest))] if rest else []
        case str(label):
            waves += _by_label(label, rest, hosts)
        case sizes:
            waves += _by_size(sizes, rest, len(names))
    return tuple(waves)


def _canary(
    canary: Amount | str | tuple[str, ...] | None,
    names: list[str],
    hosts: Sequence[RolloutHost],
    unreachable: Collection[str],
    select: Select | None,
) -> list[str]:
    match canary:
        case None:
            return []
        case Amount():
            return names[: canary.at_least_one(len(names))]
        case str():
            wanted = set(select(canary)) if select else {host.name for host in hosts if _matches(canary, host)}
        case _:
            wanted = set(canary)
    if not any(host.name in wanted for host in hosts):
        raise CanaryMissing(canary if isinstance(canary, str) else ", ".join(canary))
    changing = set(names)
    return [host.name for host in hosts if host.name in wanted and (host.name in changing or host.name in unreachable)]


def _matches(selector: str, host: RolloutHost) -> bool:
    """The plain selectors, for callers without an inventory: `LABEL=VALUE`, `@GROUP`, a glob of names, joined by commas."""
    for atom in (part.strip() for part in selector.split(",")):
        label, equals, value = atom.partition("=")
        if equals and fnmatch.fnmatchcase(host.labels.get(label, ""), value) and label in host.labels:
            return True
        if not equals and (atom[1:] in host.groups if atom.startswith("@") else fnmatch.fnmatchcase(host.name, atom)):
            return True
    return False


def _by_label(label: str, names: list[str], hosts: Sequence[RolloutHost]) -> list[Wave]:
    """One wave for each value, in the order in which the inventory shows them; hosts without the label come last."""
    value_of = {host.name: host.labels.get(label) for host in hosts}
    values = dict.fromkeys(value_of[name] for name in names if value_of[name] is not None)
    ordered: list[str | None] = [*values, None]
    waves = [Wave(tuple(name for name in names if value_of[name] == value)) for value in ordered]
    return [wave for wave in waves if wave.hosts]


def _by_size(sizes: tuple[Amount, ...], names: list[str], total: int) -> list[Wave]:
    """Waves of the given sizes, the last of which is repeated. Percentages are of all hosts that change."""
    waves: list[Wave] = []
    at = 0
    while at < len(names):
        size = sizes[min(len(waves), len(sizes) - 1)].at_least_one(total)
        waves.append(Wave(tuple(names[at : at + size])))
        at += size
    return waves
