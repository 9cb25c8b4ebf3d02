"""`deployer option`."""

from __future__ import annotations

import click

from deployer.config.errors import UnknownOption
from deployer.config.library import all_modules
from deployer.config.reference import describe, reference


@click.command("option")
@click.argument("name", required=False)
@click.option("--reference", "whole", is_flag=True, help="The reference page of all options, in Markdown.")
def command(name: str | None, whole: bool) -> None:
    """Explain the option NAME, or list all options."""
    modules = all_modules()
    options = {path: option for module in modules for path, option in module.options.items()}
    if whole:
        click.echo(reference(modules), nl=False)
    elif name is None:
        for path, option in sorted((path, option) for path, option in options.items() if not option.internal):
            click.echo(f"{path:24} {option.description}")
    elif name in options:
        click.echo("\n".join(describe(options[name])))
        click.echo(f"\nDeclared at {options[name].declared}")
    else:
        raise UnknownOption(name, None, tuple(options))
