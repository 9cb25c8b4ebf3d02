"""`deployer reconcile`."""

from __future__ import annotations

import click

from deployer.cli.deployment import run
from deployer.cli.display import Display
from deployer.cli.options import dry_run_option, json_option, on_option, project
from deployer.cli.passwords import become_options
from deployer.cli.reconciliation import reconcile_hosts, show_reports


@click.command("reconcile")
@on_option
@click.option(
    "--policy",
    type=click.Choice(["repair", "report"]),
    help="What to do about drift.  [default: the host's `drift`, else repair]",
)
@click.option("--ignore", multiple=True, metavar="GLOB", help="Targets to leave alone: /etc/motd, unit:cron*.")
@dry_run_option
@become_options
@json_option
@click.pass_context
def command(context: click.Context, selector: str | None, policy: str | None, ignore: tuple[str, ...], dry_run: bool) -> None:
    """Repair drift: bring hosts back to what their current generation declares, in a transaction like any other.

    A target that keeps drifting is left alone and told, after its host's limit.
    """
    what = project(context)
    display = Display(what.settings)

    async def work() -> int:
        overrides = {"policy": policy, "ignore": list(ignore) or None}
        reports = await reconcile_hosts(what, what.select(selector), display, overrides, repair=not dry_run, default="repair")
        return show_reports(what, reports, display)

    run(work)
