"""`deployer store log`."""

from __future__ import annotations

import sys

import click

from deployer.cli.store.naming import find, open_store, unknown
from deployer.cli.store.options import store_options
from deployer.cli.store.printing import Printer


@click.command("log")
@click.argument("path")
@store_options
@click.pass_context
def command(context: click.Context, path: str) -> None:
    """Print the log of the last build of PATH, a derivation or what one made."""
    from deployer.build.logs import read_log

    store = open_store(context, existing=True)
    found = find(store, path)
    if not found.name.endswith(".drv") and not store.is_valid(found):
        raise unknown(store, found)
    pieces = read_log(store, found)
    printer = Printer(context)
    if printer.as_json:
        lines = b"".join(pieces).decode(errors="replace").splitlines()
        printer.document({"path": str(found), "lines": [*lines]})
        return
    sys.stdout.flush()
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
