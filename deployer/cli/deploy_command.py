"""`deployer deploy`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from deployer.cli.deployment import Intention, carry_out, run, show_plan
from deployer.cli.display import Display
from deployer.cli.options import dry_run_option, json_option, on_option, project, strategy_options, yes_option
from deployer.cli.plan_file import read_plan
from deployer.cli.targets import strategy_for, targets_of_configurations


@click.command("deploy")
@click.argument("plan_path", metavar="[PLAN]", required=False, type=click.Path(path_type=Path))
@on_option
@strategy_options
@dry_run_option
@yes_option
@json_option
@click.pass_context
def command(
    context: click.Context, /, plan_path: Path | None, selector: str | None, dry_run: bool, yes: bool, **overrides: str | None
) -> None:
    """Bring hosts to their configurations.

    Connects to every host first, shows what will change, builds what is missing, then goes wave by wave, canary first. A
    host that is where it should be is left alone. Each host proves itself healthy and is confirmed over a fresh connection,
    or goes back by itself. With PLAN, a file that `deployer plan --out` wrote, it does exactly that or refuses.
    """
    what = project(context)
    hosts = what.select(selector)
    expected = {} if plan_path is None else read_plan(plan_path)
    if plan_path is not None:
        hosts = tuple(host for host in hosts if host.name in expected)
    strategy, remark = strategy_for(what, hosts, selector, overrides)
    intention = Intention(
        command="deploy",
        hosts=hosts,
        targets=targets_of_configurations(what, hosts, expected),
        strategy=strategy,
        details={"inventories": [str(path) for path in what.settings.inventories], "selector": selector or ""},
        asks=not yes and plan_path is None and sys.stdin.isatty() and sys.stderr.isatty() and not what.settings.as_json,
    )
    display = Display(what.settings)
    if remark:
        display.say(remark)

    async def work() -> int:
        if dry_run:
            return (await show_plan(what, intention, display))[1]
        return await carry_out(what, intention, display)

    run(work)
