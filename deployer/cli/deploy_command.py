"""`deployer deploy`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deployer.cli.connections import Connections
from deployer.cli.options import (
    build_options,
    dry_run_option,
    goal_of,
    goal_options,
    json_option,
    may_ask,
    on_option,
    project,
    strategy_options,
    yes_option,
)
from deployer.cli.passwords import become_options
from deployer.formats.goals import Goal

if TYPE_CHECKING:
    from deployer.cli.deployment import Intention
    from deployer.formats.messages import Plan


@click.command("deploy")
@click.argument("plan_path", metavar="[PLAN]", required=False, type=click.Path(path_type=Path))
@on_option
@goal_options
@strategy_options
@dry_run_option
@yes_option
@build_options
@become_options
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    plan_path: Path | None,
    selector: str | None,
    goal: str | None,
    reboot: bool,
    dry_run: bool,
    yes: bool,
    **overrides: str | None,
) -> None:
    """Bring hosts to their configurations.

    Connects to every host first, shows what will change, builds what is missing, then goes wave by wave, canary first. A
    host that is where it should be is left alone. Each host proves itself healthy and is confirmed over a fresh connection,
    or goes back by itself. With PLAN, a file that `deployer plan --out` wrote, it does exactly that or refuses.

    Goals: `switch` changes hosts for good; `test` until they reboot; `boot` when they reboot, where each tries it once and judges
    it by its own checks. With --reboot they are rebooted, must be confirmed, and reboot once more to go back. `push` copies only.
    """
    what = project(context)
    hosts = what.select(selector)
    expected: Mapping[str, Plan] = {}
    aim = goal_of(goal, reboot=reboot)
    if plan_path is not None:
        from deployer.cli.plan_file import PlanHasGoal, read_plan

        plan = read_plan(plan_path)
        expected = plan.hosts
        if (goal is not None and aim not in (plan.goal, Goal.DRY)) or (reboot and not plan.reboot):
            raise PlanHasGoal(str(plan_path), str(plan.goal))
        aim, reboot, dry_run = plan.goal, plan.reboot, dry_run or aim is Goal.DRY
    dry_run = dry_run or aim is Goal.DRY
    if aim is Goal.DRY:
        aim = Goal.BOOT if reboot else Goal.SWITCH
        hosts = tuple(host for host in hosts if host.name in expected)
    asks = plan_path is None and may_ask(what.settings, yes=yes)

    def intend() -> tuple[Intention, str]:
        from deployer.cli.deployment import Intention
        from deployer.cli.targets import strategy_for, targets_of_configurations

        strategy, remark = strategy_for(what, hosts, selector, overrides)
        intention = Intention(
            command="deploy",
            hosts=hosts,
            targets=targets_of_configurations(what, hosts, expected, goal=aim, reboot=reboot),
            strategy=strategy,
            details={
                "inventories": [str(path) for path in what.settings.inventories],
                "selector": selector or "",
                "goal": str(aim),
                "reboot": reboot,
            },
            asks=asks,
        )
        return intention, remark

    async def work() -> int:
        async with Connections(what, hosts) as connections:
            intention, remark = await connections.meanwhile(intend)

            from deployer.cli.deployment import carry_out, show_plan
            from deployer.cli.display import Display

            display = Display(what.settings)
            if remark:
                display.say(remark)
            if dry_run:
                return (await show_plan(what, intention, display, connections))[1]
            return await carry_out(what, intention, display, connections)

    context.exit(asyncio.run(work()))
