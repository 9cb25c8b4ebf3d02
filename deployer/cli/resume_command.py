"""`deployer resume`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from deployer.cli.connections import Connections
from deployer.cli.deployment import Intention, carry_out, run
from deployer.cli.display import Display
from deployer.cli.options import build_options, json_option, project
from deployer.cli.passwords import become_options
from deployer.cli.project import Project
from deployer.cli.targets import targets_of_configurations
from deployer.errors import ConfigurationError
from deployer.formats.goals import Goal
from deployer.rollout import Strategy


class OnlyDeploysResume(ConfigurationError):
    """A rollout that is no deploy was asked to go on."""

    number: int
    command: str

    @property
    def message(self) -> str:
        """What it is."""
        return f"rollout {self.number} is a {self.command}; only deploys are resumed"

    @property
    def remedy(self) -> str:
        """What to do instead."""
        return f"Run `deployer {self.command}` again: hosts that are there already are left alone."


@click.command("resume")
@click.argument("number", type=click.IntRange(min=1), required=False)
@click.option("--take-over", is_flag=True, help="Also where the other controller cannot be shown to be dead.")
@build_options
@become_options
@json_option
@click.pass_context
def command(context: click.Context, number: int | None, take_over: bool) -> None:
    """Go on with a deploy whose controller died, by default the newest. No host is done twice."""
    what = project(context)
    interrupted = {record.number: record.command for record in what.history.interrupted()}
    wanted = number or max(interrupted, default=0)
    if interrupted.get(wanted, "deploy") != "deploy":
        raise OnlyDeploysResume(wanted, interrupted[wanted])
    record = what.history.take_over(number, by_force=take_over)
    inventories = record.details.get("inventories")
    if isinstance(inventories, list) and inventories:
        what = Project(dataclasses.replace(what.settings, inventories=tuple(Path(str(path)) for path in inventories)))
    hosts = what.select(str(record.details.get("selector") or "") or None)
    goal = Goal.parse(str(record.details.get("goal") or "")) or Goal.SWITCH
    intention = Intention(
        command=record.command,
        hosts=hosts,
        targets=targets_of_configurations(what, hosts, goal=goal, reboot=record.details.get("reboot") is True),
        strategy=Strategy.parse(dict(record.strategy)),
        details=dict(record.details),
        resumes=record.number,
    )
    display = Display(what.settings)
    run(lambda: carry_out(what, intention, display, Connections(what, hosts)))
