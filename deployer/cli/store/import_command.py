"""`deployer store import`."""

from __future__ import annotations

import click

from deployer.cli.store.naming import open_store
from deployer.cli.store.options import store_options
from deployer.cli.store.printing import Printer, binary_input


@click.command("import")
@store_options
@click.pass_context
def command(context: click.Context) -> None:
    """Take paths from standard input, as `deployer store export` and `nix-store --export` write them, and print them.

    All of the stream becomes valid, or nothing. It is trusted: take streams only from those whom you would let change the store.
    """
    from deployer.store.exporting import import_paths

    stream = binary_input()
    paths = import_paths(open_store(context), stream.read)
    Printer(context).answer(paths, {"paths": [*paths]})
