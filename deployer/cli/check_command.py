"""`deployer check`."""

from __future__ import annotations

import click

from deployer.cli.display import Display
from deployer.cli.options import json_option, on_option, project


@click.command("check")
@on_option
@json_option
@click.pass_context
def command(context: click.Context, selector: str | None) -> None:
    """Read the inventory, the packages and every configuration, and evaluate them. Connects to nothing."""
    what = project(context)
    hosts = what.select(selector)
    outlines = what.outlines(hosts)
    warnings = list(dict.fromkeys(warning for outline in outlines.values() for warning in outline.warnings))
    display = Display(what.settings)
    if what.settings.as_json:
        display.data({"hosts": {name: str(outline.output) for name, outline in outlines.items()}, "warnings": [*warnings]})
        return
    for warning in warnings:
        display.say(f"warning: {warning}")
    different = len({outline.output for outline in outlines.values()})
    display.text(f"{len(hosts)} hosts, {different} different systems: all is well.")
