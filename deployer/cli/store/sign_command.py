"""`deployer store sign`."""

from __future__ import annotations

from pathlib import Path

import click

from deployer.cli.store.naming import find_valid, open_store
from deployer.cli.store.options import paths_argument, store_options
from deployer.cli.store.printing import Printer
from deployer.errors import JsonValue


@click.command("sign")
@paths_argument
@click.option("-k", "--key-file", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The secret key.")
@click.option("-r", "--recursive", is_flag=True, help="Their closures, too.")
@store_options
@click.pass_context
def command(context: click.Context, paths: tuple[str, ...], key_file: Path, recursive: bool) -> None:
    """Sign PATHs, so that other stores and caches that trust the key take them. A key is made by `deployer key generate`."""
    from deployer.cache.describing import sign_paths
    from deployer.cache.keys import SecretKey

    key = SecretKey.parse(key_file.read_text())
    store = open_store(context, existing=True)
    found = find_valid(store, paths)
    fresh = sign_paths(store, store.closure(found) if recursive else dict.fromkeys(found), key)
    added: list[JsonValue] = [{"path": str(path), "signature": signature} for path, signature in fresh.items()]
    printer = Printer(context)
    printer.say(f"added {len(added)} signatures")
    if printer.as_json:
        printer.document({"added": added})
