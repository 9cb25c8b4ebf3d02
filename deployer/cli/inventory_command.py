"""`deployer inventory`."""

from __future__ import annotations

import json

import click

from deployer.cli.display import Display
from deployer.cli.options import json_option, project
from deployer.inventory.listing import graph, host_document, list_document


@click.command("inventory")
@click.option("--list", "as_list", is_flag=True, help="Groups and all hosts' variables, as JSON. (default)")
@click.option("--graph", "as_graph", is_flag=True, help="Groups and hosts as a tree.")
@click.option("--host", metavar="NAME", help="One host's variables, as JSON.")
@json_option
@click.pass_context
def command(context: click.Context, as_list: bool, as_graph: bool, host: str | None) -> None:
    """Show hosts, groups and variables, as ansible-inventory does. Connects to nothing."""
    if as_list + as_graph + (host is not None) > 1:
        raise click.UsageError("Give one of --list, --graph and --host.")
    what = project(context)
    display = Display(what.settings)
    if as_graph and not what.settings.as_json:
        display.text(graph(what.fleet))
        return
    if host is not None:
        documents = {one.name: host_document(one) for one in what.select(host)}
        document = next(iter(documents.values())) if len(documents) == 1 else documents
    else:
        document = list_document(what.fleet)
    if what.settings.as_json:
        display.data(document)
    else:
        display.text(json.dumps(document, indent=4, sort_keys=True, ensure_ascii=False))
