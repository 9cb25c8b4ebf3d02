"""`deployer store export`."""

from __future__ import annotations

import click

from deployer.cli.options import store_option
from deployer.cli.store.naming import find_valid, open_store
from deployer.cli.store.options import paths_argument
from deployer.cli.store.printing import binary_output


@click.command("export")
@paths_argument
@click.option("-R", "--requisites", is_flag=True, help="Their closures, too: a stream that any store can take.")
@store_option
@click.pass_context
def command(context: click.Context, paths: tuple[str, ...], requisites: bool) -> None:
    """Write paths to standard output as a stream that `deployer store import` and `nix-store --import` read."""
    from deployer.store.exporting import export_paths

    out = binary_output()
    store = open_store(context, existing=True)
    found = find_valid(store, paths)
    export_paths(store, store.closure(found) if requisites else found, out.write)
    out.flush()
