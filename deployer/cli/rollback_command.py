"""`deployer rollback`."""

from __future__ import annotations

import click

from deployer.cli.options import dry_run_option, json_option, on_option, project, strategy_options, yes_option
from deployer.cli.passwords import become_options
from deployer.cli.returning import return_hosts


@click.command("rollback")
@on_option
@click.option("--to", "number", type=click.IntRange(min=1), help="The generation's number.  [default: the one before]")
@strategy_options
@dry_run_option
@yes_option
@become_options
@json_option
@click.pass_context
def command(
    context: click.Context, /, selector: str | None, number: int | None, dry_run: bool, yes: bool, **overrides: str | None
) -> None:
    """Return hosts to an earlier generation, with the same checks and the same waves as a deploy."""
    return_hosts(project(context), selector, number, overrides, dry_run=dry_run, yes=yes)
