"""`deployer generations collect`."""

from __future__ import annotations

import click

from deployer.cli.amounts import duration
from deployer.cli.generations.asking import ask_hosts
from deployer.cli.generations.removing import show_removed
from deployer.cli.options import dry_run_option, json_option, may_ask, on_option, project, yes_option
from deployer.cli.passwords import become_options
from deployer.copy import HostSession
from deployer.formats.messages import Collection


@click.command("collect")
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Keep so many of the newest.  [default: as configured]")
@click.option("--keep-for", type=duration, metavar="TIME", help="And all that were in use since: 30d.  [default: as configured]")
@on_option
@dry_run_option
@yes_option
@become_options
@json_option
@click.pass_context
def command(
    context: click.Context, keep: int | None, keep_for: float | None, selector: str | None, dry_run: bool, yes: bool
) -> None:
    """Remove the generations of each host that its configuration does not keep, and all in its store that nothing needs.

    What running processes use stays. On a host with Nix the files are left to Nix's collector.
    """
    what = project(context)

    async def ask(session: HostSession) -> Collection:
        return await session.collect(dry_run=dry_run, keep=keep, keep_for=None if keep_for is None else int(keep_for))

    asks = not dry_run and may_ask(what.settings, yes=yes)
    question = "Remove old generations from the hosts?" if asks else ""
    ask_hosts(what, selector, ask, show_removed(what, dry_run=dry_run), changes=not dry_run, question=question)
