"""`deployer unlock`."""

from __future__ import annotations

import click

from deployer.cli.display import Display
from deployer.cli.options import json_option, on_option, project
from deployer.errors import JsonValue


@click.command("unlock")
@on_option
@json_option
@click.pass_context
def command(context: click.Context, selector: str | None) -> None:
    """Break the locks that other controllers' runs hold on hosts.

    Only for a holder that is certainly gone: hosts refuse two activations at once in any case.
    """
    what = project(context)
    display = Display(what.settings)
    broken = what.history.break_locks([host.name for host in what.select(selector)])
    for lock in broken:
        document: dict[str, JsonValue] = {"host": lock.host, "was_held_by": lock.holder.who, "rollout": lock.rollout}
        if what.settings.as_json:
            display.data(document)
        else:
            display.text(f"{lock.host}: was held by {lock.holder.who}")
    if not broken:
        display.say("None of these hosts was locked.")
