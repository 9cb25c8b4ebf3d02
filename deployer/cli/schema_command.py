"""`deployer schema`."""

from __future__ import annotations

import json

import click

from deployer.config.library import all_modules
from deployer.config.reference import schema


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of configuration files, for editors."""
    options = [option for module in all_modules() for option in module.options.values()]
    click.echo(json.dumps(schema(options), indent=1, sort_keys=True))
