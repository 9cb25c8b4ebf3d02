"""`deployer store add-fixed`."""

from __future__ import annotations

from pathlib import Path

import click

from deployer.cli.options import dry_run_option
from deployer.cli.store.errors import Misused
from deployer.cli.store.hashing import hash_of
from deployer.cli.store.naming import name_for, open_store
from deployer.cli.store.options import files_argument, store_options
from deployer.cli.store.printing import Printer
from deployer.formats.hashes import SIZES
from deployer.formats.storepath import make_fixed_output_path


@click.command("add-fixed")
@click.argument("algorithm", metavar="ALGO", type=click.Choice(sorted(SIZES)))
@files_argument
@click.option("--recursive", is_flag=True, help="By the hash of the NAR, so that it may be a directory or a program.")
@click.option("--name", help="The path's name, if not the file's.")
@dry_run_option
@store_options
@click.pass_context
def command(
    context: click.Context, algorithm: str, files: tuple[Path, ...], recursive: bool, name: str | None, dry_run: bool
) -> None:
    """Add files to the store as a fetch with this hash would, and print their paths.

    ALGO is md5, sha1, sha256 or sha512. So a derivation finds what it would fetch in its place already.
    """
    store = open_store(context)
    for file in files:
        if not recursive and (file.is_symlink() or file.is_dir()):
            raise Misused(f"{file} is not a plain file", "Add it with --recursive.")
    names = [name_for(file, name) for file in files]
    paths = []
    for called, file in zip(names, files, strict=True):
        if dry_run:
            digest = hash_of(str(file), algorithm, flat=not recursive).digest
            paths.append(str(make_fixed_output_path(called, algorithm, digest, store.store_dir, recursive=recursive)))
        else:
            paths.append(str(store.add_fixed(called, file, algorithm, recursive=recursive)))
    Printer(context).answer(paths, {"paths": [*paths]})
