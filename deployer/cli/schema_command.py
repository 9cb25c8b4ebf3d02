"""`deployer schema`."""

from __future__ import annotations

import json

import click

from deployer.config.library import all_modules
from deployer.config.reference import schema


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of configuration files, for editors."""
    modules = all_modules()
    options = [option for module in modules for option in module.options.values()]
    renamed = [one for module in modules for one in module.renamed.values()]
    click.echo(json.dumps(schema(options, renamed), indent=1, sort_keys=True))
