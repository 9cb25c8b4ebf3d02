"""What hosts are to have, by their configurations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from deployer.cli.project import Project
from deployer.formats.goals import Goal
from deployer.formats.messages import Plan
from deployer.inventory import Host
from deployer.rollout import Strategy
from deployer.rollout.live import Target


def targets_of_configurations(
    project: Project,
    hosts: Sequence[Host],
    expected: Mapping[str, Plan] | None = None,
    *,
    repair: bool = False,
    goal: Goal = Goal.SWITCH,
    reboot: bool = False,
) -> dict[str, Target]:
    """Evaluate, and say for each host what it is to have. `expected` are plans that must still hold."""
    return {
        name: Target(
            system=str(outline.output),
            manifest=outline.manifest,
            repair=repair,
            goal=goal,
            reboot=reboot,
            expected=(expected or {}).get(name),
            checks=outline.controller_checks,
        )
        for name, outline in project.outlines(hosts).items()
    }


def strategy_for(
    project: Project, hosts: Sequence[Host], selector: str | None, overrides: Mapping[str, str | None]
) -> tuple[Strategy, str]:
    """The rollout's rules for the selected hosts, and a sentence where they are not the inventory's.

    Who names hosts that leave out the inventory's canary means these hosts; a canary on the command line is meant in any case.
    """
    strategy = Strategy.parse(project.fleet.rollout, overrides)
    if selector is None or overrides.get("canary") is not None or not isinstance(strategy.canary, str):
        return strategy, ""
    canaries = {host.name for host in project.select(strategy.canary)}
    if any(host.name in canaries for host in hosts):
        return strategy, ""
    return dataclasses.replace(strategy, canary=None), "The inventory's canary is not among these hosts: they go without one."
