"""`deployer generations delete`."""

from __future__ import annotations

import click

from deployer.cli.generations.asking import ask_hosts
from deployer.cli.generations.removing import show_removed
from deployer.cli.options import dry_run_option, json_option, may_ask, on_option, project, yes_option
from deployer.cli.passwords import become_options
from deployer.copy import HostSession
from deployer.formats.messages import Collection


@click.command("delete")
@click.argument("numbers", metavar="NUMBER...", nargs=-1, required=True, type=click.IntRange(min=1))
@on_option
@dry_run_option
@yes_option
@become_options
@json_option
@click.pass_context
def command(context: click.Context, numbers: tuple[int, ...], selector: str | None, dry_run: bool, yes: bool) -> None:
    """Remove generations of each host by number, and all in its store that nothing needs.

    What is current, booted, last confirmed or pinned is refused, and then nothing is removed from that host.
    """
    what = project(context)

    async def ask(session: HostSession) -> Collection:
        return await session.delete(numbers, dry_run=dry_run)

    asks = not dry_run and may_ask(what.settings, yes=yes)
    question = "Remove these generations from the hosts?" if asks else ""
    ask_hosts(what, selector, ask, show_removed(what, dry_run=dry_run), changes=not dry_run, question=question)
