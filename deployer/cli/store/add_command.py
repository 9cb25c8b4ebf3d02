"""`deployer store add`."""

from __future__ import annotations

from pathlib import Path

import click

from deployer.cli.options import dry_run_option
from deployer.cli.store.hashing import hash_of
from deployer.cli.store.naming import name_for, open_store
from deployer.cli.store.options import files_argument, store_options
from deployer.cli.store.printing import Printer
from deployer.formats.storepath import make_source_path


@click.command("add")
@files_argument
@click.option("--name", help="The path's name, if not the file's.")
@dry_run_option
@store_options
@click.pass_context
def command(context: click.Context, files: tuple[Path, ...], name: str | None, dry_run: bool) -> None:
    """Add files or directories to the store, and print their paths. The path is made from the hash of the NAR."""
    store = open_store(context)
    names = [name_for(file, name) for file in files]
    paths = []
    for called, file in zip(names, files, strict=True):
        if dry_run:
            digest = hash_of(str(file), "sha256", flat=False).digest
            paths.append(str(make_source_path(called, digest, (), store.store_dir)))
        else:
            paths.append(str(store.add_tree(called, file)))
    Printer(context).answer(paths, {"paths": [*paths]})
