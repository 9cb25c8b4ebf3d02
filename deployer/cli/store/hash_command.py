"""`deployer store hash`."""

from __future__ import annotations

import click

from deployer.cli.store.hashing import hash_of
from deployer.cli.store.naming import on_disk, open_store
from deployer.cli.store.options import paths_argument, store_options
from deployer.cli.store.printing import Printer
from deployer.errors import JsonValue
from deployer.formats.hashes import ENCODINGS, SIZES


@click.command("hash")
@paths_argument
@click.option("--type", "algorithm", type=click.Choice(sorted(SIZES)), default="sha256", show_default=True)
@click.option("--flat", is_flag=True, help="Of a file's bytes, not of its NAR.")
@click.option("--sri", "spelling", flag_value="sri", help="As `sha256-` and base 64.  (default)")
@click.option("--base16", "spelling", flag_value="base16", help="In hexadecimal.")
@click.option("--base32", "spelling", flag_value="base32", help="In Nix's base 32.")
@click.option("--base64", "spelling", flag_value="base64", help="In base 64.")
@store_options
@click.pass_context
def command(context: click.Context, paths: tuple[str, ...], algorithm: str, flat: bool, spelling: str | None) -> None:
    """Print the hash of each PATH, a store path or any file or directory, as `nix hash path` and `nix-hash` do."""
    store = open_store(context)
    hashes = {path: hash_of(on_disk(store, path), algorithm, flat=flat) for path in paths}
    lines = [hashes[path].to(spelling or "sri") for path in paths]
    found: list[JsonValue] = [{"path": path, **{name: hashes[path].to(name) for name in ENCODINGS}} for path in paths]
    Printer(context).answer(lines, {"algorithm": algorithm, "flat": flat, "hashes": found})
