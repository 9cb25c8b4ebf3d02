"""`deployer store dump`."""

from __future__ import annotations

import click

from deployer.cli.options import store_option
from deployer.cli.store.naming import on_disk, open_store
from deployer.cli.store.printing import binary_output
from deployer.store.trees import write_nar


@click.command("dump")
@click.argument("path")
@store_option
@click.pass_context
def command(context: click.Context, path: str) -> None:
    """Write the NAR of PATH, a store path or any file or directory, to standard output."""
    out = binary_output()
    write_nar(on_disk(open_store(context), path), out.write)
    out.flush()
