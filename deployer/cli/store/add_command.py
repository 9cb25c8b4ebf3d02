"""`deployer store add`."""

from __future__ import annotations

from pathlib import Path

import click

from deployer.cli.store.naming import name_for, open_store
from deployer.cli.store.options import files_argument, store_options
from deployer.cli.store.printing import Printer


@click.command("add")
@files_argument
@click.option("--name", help="The path's name, if not the file's.")
@store_options
@click.pass_context
def command(context: click.Context, files: tuple[Path, ...], name: str | None) -> None:
    """Add files or directories to the store, and print their paths. The path is made from the hash of the NAR."""
    store = open_store(context)
    names = [name_for(file, name) for file in files]
    paths = [str(store.add_tree(called, file)) for called, file in zip(names, files, strict=True)]
    Printer(context).answer(paths, {"paths": [*paths]})
