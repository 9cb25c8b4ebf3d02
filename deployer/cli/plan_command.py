"""`deployer plan`."""

from __future__ import annotations

from pathlib import Path

import click

from deployer.cli.deployment import Intention, run, show_plan
from deployer.cli.display import Display
from deployer.cli.options import json_option, on_option, project
from deployer.cli.plan_file import write_plan
from deployer.cli.targets import targets_of_configurations
from deployer.rollout import Strategy


@click.command("plan")
@on_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Save the plan, for `deployer deploy PLAN`.")
@json_option
@click.pass_context
def command(context: click.Context, selector: str | None, out: Path | None) -> None:
    """Show what deploy would do, exactly: each host computes it with the code that would do it. Changes nothing."""
    what = project(context)
    hosts = what.select(selector)
    intention = Intention("plan", hosts, targets_of_configurations(what, hosts), Strategy.parse(what.fleet.rollout), details={})
    display = Display(what.settings)

    async def work() -> int:
        plans, code = await show_plan(what, intention, display)
        if out is not None:
            write_plan(out, plans)
            display.say(f"The plan is saved: deployer deploy {out}")
        return code

    run(work)
