"""`deployer store optimise`."""

from __future__ import annotations

import click

from deployer.cli.amounts import mebibytes
from deployer.cli.store.naming import open_store
from deployer.cli.store.options import store_options
from deployer.cli.store.printing import Printer


@click.command("optimise")
@store_options
@click.pass_context
def command(context: click.Context) -> None:
    """Store equal files once. What is added by us is so already; this finds what came otherwise."""
    from deployer.store import optimise

    store = open_store(context, existing=True)
    done = optimise(store)
    printer = Printer(context)
    printer.say(f"{mebibytes(done.bytes)} freed by hard-linking {done.files} files")
    if printer.as_json:
        printer.document({"files": done.files, "bytes": done.bytes})
