"""The commands as a reference page: `python -m deployer.cli.documentation >docs/reference/commands.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from deployer.cli.main import program

_INTRODUCTION = (
    "Every command, its arguments and its options. This page is generated from the program:"
    " `python -m deployer.cli.documentation`."
)


def commands_page() -> str:
    """The reference page of all commands, in Markdown."""
    lines = ["# Commands", "", _INTRODUCTION]
    for context in contexts():
        heading = "## " if context.command is program or context.parent is _root(context) else "### "
        lines += ["", f"{heading}`{context.command_path}`", "", *_describe(context)]
    return "\n".join(lines) + "\n"


def contexts() -> Iterator[click.Context]:
    """The program and all its commands, each before its subcommands."""
    yield from _below(click.Context(program, info_name="deployer", **program.context_settings))


def _below(context: click.Context) -> Iterator[click.Context]:
    yield context
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _below(click.Context(found, parent=context, info_name=name))


def _root(context: click.Context) -> click.Context:
    return context.find_root()


def _describe(context: click.Context) -> Iterator[str]:
    command = context.command
    yield f"    {context.command_path} {' '.join(command.collect_usage_pieces(context))}"
    for paragraph in (command.help or "").split("\n\n"):
        yield ""
        yield " ".join(paragraph.replace("\b", "").split())
    options = [record for parameter in command.get_params(context) if (record := _option(parameter, context))]
    if options:
        yield ""
        yield from options


def _option(parameter: click.Parameter, context: click.Context) -> str:
    record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
    if record is None or "--help" in parameter.opts:
        return ""
    declaration, text = record
    return f"- `{declaration}`: {' '.join(text.split())}"


if __name__ == "__main__":
    sys.stdout.write(commands_page())
