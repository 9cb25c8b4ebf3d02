"""`deployer generations switch`."""

from __future__ import annotations

import click

from deployer.cli.options import dry_run_option, json_option, on_option, project, strategy_options, yes_option
from deployer.cli.passwords import become_options
from deployer.cli.returning import return_hosts


@click.command("switch")
@click.argument("number", type=click.IntRange(min=1))
@on_option
@strategy_options
@dry_run_option
@yes_option
@become_options
@json_option
@click.pass_context
def command(
    context: click.Context, /, number: int, selector: str | None, dry_run: bool, yes: bool, **overrides: str | None
) -> None:
    """Bring hosts to generation NUMBER, older or newer, with the same checks and the same waves as a deploy.

    The same as `deployer rollback --to NUMBER`.
    """
    return_hosts(project(context), selector, number, overrides, dry_run=dry_run, yes=yes)
