"""`deployer store copy`."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import click

from deployer.cli.settings import TRUSTED_KEYS, Settings
from deployer.cli.store.errors import Misused
from deployer.cli.store.naming import find, find_valid, open_store
from deployer.cli.store.options import paths_argument, store_options
from deployer.cli.store.printing import Printer
from deployer.store import Store


@click.command("copy")
@paths_argument
@click.option("--to", "target", metavar="URL", help="The cache to copy to: file://, http(s)://, s3:// or ssh://.")
@click.option("--from", "source", metavar="URL", help="The cache to copy from.")
@click.option("-k", "--key-file", type=click.Path(path_type=Path), metavar="FILE", help="With --to: sign with this secret key.")
@click.option("--compression", type=click.Choice(["zstd", "xz", "none"]), default="zstd", show_default=True, help="With --to.")
@click.option(
    "--trusted-key", "trusted", multiple=True, envvar=TRUSTED_KEYS, metavar="KEY", help="With --from: believe what it has signed."
)
@click.option("--no-check-sigs", is_flag=True, help="With --from: believe everything.")
@store_options
@click.pass_context
def command(
    context: click.Context,
    paths: tuple[str, ...],
    target: str | None,
    source: str | None,
    key_file: Path | None,
    compression: str,
    trusted: tuple[str, ...],
    no_check_sigs: bool,
) -> None:
    """Copy PATHs and all that they refer to, to a binary cache or from one. What is there already is not sent again."""
    if (target is None) == (source is None):
        raise Misused("it copies in one direction", "Name either --to URL or --from URL.")
    settings: Settings = context.obj
    printer = Printer(context)
    if target is not None:
        copied = _push(open_store(context, existing=True), paths, target, key_file, compression, printer)
    else:
        choices = dataclasses.replace(settings.build, substituters=(str(source),), trusted_keys=trusted)
        settings = dataclasses.replace(settings, build=choices)
        copied = asyncio.run(_pull(open_store(context), paths, settings, printer, check=not no_check_sigs))
    printer.say(f"copied {len(copied)} paths")
    if printer.as_json:
        printer.document({"copied": [*copied]})


def _push(store: Store, names: tuple[str, ...], url: str, key_file: Path | None, compression: str, printer: Printer) -> list[str]:
    from deployer.cache import SecretKey, push
    from deployer.cli.building import cache_memory
    from deployer.cli.ssh_stores import ssh_openers

    copied = push(
        store,
        find_valid(store, names),
        url,
        compression=compression,
        key=SecretKey.parse(key_file.read_text()) if key_file else None,
        openers=ssh_openers(),
        memory=cache_memory(),
        on_path=lambda path: printer.say(f"copied '{path}'"),
    )
    return [str(path) for path in copied]


async def _pull(store: Store, names: tuple[str, ...], settings: Settings, printer: Printer, *, check: bool) -> list[str]:
    from deployer.cli.building import substituter

    cache = substituter(settings.build, check=check, say=printer.say)
    before = set(store.database.all_paths())
    try:
        for path in dict.fromkeys(find(store, name) for name in names):
            await cache.substitute(store, path)
    finally:
        cache.close()
    return sorted(set(store.database.all_paths()) - before)
