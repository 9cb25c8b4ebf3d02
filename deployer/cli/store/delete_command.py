"""`deployer store delete`."""

from __future__ import annotations

import click

from deployer.cli.amounts import mebibytes
from deployer.cli.options import dry_run_option
from deployer.cli.store.naming import find_valid, open_store
from deployer.cli.store.options import paths_argument, store_options
from deployer.cli.store.printing import Printer


@click.command("delete")
@paths_argument
@dry_run_option
@store_options
@click.pass_context
def command(context: click.Context, paths: tuple[str, ...], dry_run: bool) -> None:
    """Remove PATHs, if nothing needs them: no root leads to them, nothing valid refers to them, no process uses them."""
    from deployer.store import delete

    store = open_store(context, existing=True)
    deleted = delete(store, find_valid(store, paths), dry_run=dry_run)
    printer = Printer(context)
    for path in deleted.paths:
        printer.say(f"{'would delete' if dry_run else 'deleting'} '{path}'")
    would = "would be " if dry_run else ""
    printer.answer(
        [f"{len(deleted.paths)} store paths {would}deleted, {mebibytes(deleted.bytes)} {would}freed"],
        {"paths": [*deleted.paths], "bytes": deleted.bytes, "dry_run": dry_run},
    )
