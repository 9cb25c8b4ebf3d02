"""`deployer schema`."""

from __future__ import annotations

import json

import click


@click.command("schema")
@click.option("--inventory", "of_inventory", is_flag=True, help="That of inventories in our own format.")
def command(of_inventory: bool) -> None:
    """Print the JSON Schema of configuration files, for editors."""
    if of_inventory:
        from deployer.inventory.schema import schema as inventory_schema

        click.echo(json.dumps(inventory_schema(), indent=1, sort_keys=True))
        return
    from deployer.config.library import all_modules
    from deployer.config.reference import schema

    modules = all_modules()
    options = [option for module in modules for option in module.options.values()]
    renamed = [one for module in modules for one in module.renamed.values()]
    click.echo(json.dumps(schema(options, renamed), indent=1, sort_keys=True))
