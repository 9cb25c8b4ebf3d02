"""`deployer generations pin`."""

from __future__ import annotations

import click

from deployer.cli.generations.pinning import set_pin
from deployer.cli.options import dry_run_option, json_option, on_option, project
from deployer.cli.passwords import become_options


@click.command("pin")
@click.argument("number", type=click.IntRange(min=1))
@on_option
@dry_run_option
@become_options
@json_option
@click.pass_context
def command(context: click.Context, number: int, selector: str | None, dry_run: bool) -> None:
    """Keep generation NUMBER of each host until it is unpinned, whatever the policy says."""
    set_pin(project(context), selector, number, pinned=True, dry_run=dry_run)
