"""`deployer drift`."""

from __future__ import annotations

import click

from deployer.cli.deployment import run
from deployer.cli.display import Display
from deployer.cli.options import json_option, on_option, project
from deployer.cli.passwords import become_options
from deployer.cli.reconciliation import reconcile_hosts, show_reports


@click.command("drift")
@on_option
@click.option("--ignore", multiple=True, metavar="GLOB", help="Targets to leave out: /etc/motd, unit:cron*.")
@become_options
@json_option
@click.pass_context
def command(context: click.Context, selector: str | None, ignore: tuple[str, ...]) -> None:
    """Show where hosts differ from what their current generation declares. Changes nothing.

    Exit code 1 where anything differs.
    """
    what = project(context)
    display = Display(what.settings)

    async def work() -> int:
        reports = await reconcile_hosts(what, what.select(selector), display, {"ignore": list(ignore) or None}, repair=False)
        return show_reports(what, reports, display)

    run(work)
