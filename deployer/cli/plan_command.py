"""`deployer plan`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deployer.cli.connections import Connections
from deployer.cli.options import goal_of, goal_options, json_option, on_option, project
from deployer.cli.passwords import become_options

if TYPE_CHECKING:
    from deployer.cli.deployment import Intention


@click.command("plan")
@on_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Save the plan, for `deployer deploy PLAN`.")
@become_options
@goal_options
@json_option
@click.pass_context
def command(context: click.Context, selector: str | None, out: Path | None, goal: str | None, reboot: bool) -> None:
    """Show what deploy would do, exactly: each host computes it with the code that would do it. Changes nothing."""
    what = project(context)
    hosts = what.select(selector)
    aim = goal_of(goal, reboot=reboot)

    def intend() -> Intention:
        from deployer.cli.deployment import Intention
        from deployer.cli.targets import targets_of_configurations
        from deployer.rollout import Strategy

        targets = targets_of_configurations(what, hosts, goal=aim, reboot=reboot)
        return Intention("plan", hosts, targets, Strategy.parse(what.fleet.rollout), details={})

    async def work() -> int:
        async with Connections(what, hosts) as connections:
            intention = await connections.meanwhile(intend)

            from deployer.cli.deployment import show_plan
            from deployer.cli.display import Display
            from deployer.cli.plan_file import SavedPlan, write_plan

            display = Display(what.settings)
            plans, code = await show_plan(what, intention, display, connections)
            if out is not None:
                write_plan(out, SavedPlan(plans, aim, reboot))
                display.say(f"The plan is saved: deployer deploy {out}")
            return code

    context.exit(asyncio.run(work()))
