"""`deployer generations list`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from deployer.cli.display import Display
from deployer.cli.generations.asking import ask_hosts
from deployer.cli.options import json_option, on_option, project
from deployer.cli.passwords import become_options
from deployer.copy import HostSession
from deployer.errors import JsonValue
from deployer.formats.messages import Generation
from deployer.ui import generations_table


@click.command("list")
@on_option
@become_options
@json_option
@click.pass_context
def command(context: click.Context, selector: str | None) -> None:
    """List the generations of each host: when they were made, how large they are, and why each is kept."""
    what = project(context)

    async def ask(session: HostSession) -> tuple[Generation, ...]:
        return await session.generations()

    def show(answers: Mapping[str, tuple[Generation, ...]], display: Display) -> None:
        if not what.settings.as_json:
            display.text(generations_table(answers, display.paint).rstrip("\n"))
            return
        for name, generations in answers.items():
            documents: list[JsonValue] = [generation.to_document() for generation in generations]
            display.data({"host": name, "generations": documents})

    ask_hosts(what, selector, ask, show)
