"""`deployer generations diff`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from deployer.cli.display import Display
from deployer.cli.generations.asking import ask_hosts
from deployer.cli.options import json_option, on_option, project
from deployer.cli.passwords import become_options
from deployer.copy import HostSession
from deployer.formats.messages import GenerationDifference
from deployer.host.refusals import GenerationUnknown
from deployer.ui import render_difference


@click.command("diff")
@click.argument("before", type=click.IntRange(min=1), required=False)
@click.argument("after", type=click.IntRange(min=1), required=False)
@on_option
@become_options
@json_option
@click.pass_context
def command(context: click.Context, before: int | None, after: int | None, selector: str | None) -> None:
    """Compare two generations of each host: files, units, users, settings, packages and sizes.

    AFTER is the current one where it is not given, and BEFORE the one before it.
    """
    what = project(context)

    async def ask(session: HostSession) -> GenerationDifference:
        status = await session.status()
        known = [generation.number for generation in status.generations]
        second = after or status.generation
        first = before or max((number for number in known if number < second), default=0)
        for number in (first, second):
            if number not in known:
                raise GenerationUnknown(number, known, session.host.name)
        return await session.compare(first, second)

    def show(answers: Mapping[str, GenerationDifference], display: Display) -> None:
        if not what.settings.as_json:
            display.text(render_difference(answers, display.paint).rstrip("\n"))
            return
        for name, difference in answers.items():
            display.data({"host": name, **difference.to_document()})

    ask_hosts(what, selector, ask, show)
