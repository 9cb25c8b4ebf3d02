"""`deployer store diff-closures`."""

from __future__ import annotations

import click

from deployer.cli.store.naming import find_valid, open_store
from deployer.cli.store.options import store_options
from deployer.cli.store.printing import Printer
from deployer.errors import JsonValue
from deployer.store.difference import Change, difference


@click.command("diff-closures")
@click.argument("before")
@click.argument("after")
@store_options
@click.pass_context
def command(context: click.Context, before: str, after: str) -> None:
    """Show which packages came, went, or changed between the closures of BEFORE and AFTER, as `nix store diff-closures` does.

    Nothing is printed where they agree. Sizes are told from 8 KiB on.
    """
    store = open_store(context, existing=True)
    changes = difference(store, *find_valid(store, [before, after]))
    printer = Printer(context)
    printer.answer(
        [f"{change.name}: {', '.join(_items(change, color=printer.has_color))}" for change in changes],
        {"changes": [_document(change) for change in changes]},
    )


def _items(change: Change, *, color: bool) -> list[str]:
    items = [f"{_versions(change.removed)} → {_versions(change.added)}"] if change.removed or change.added else []
    if change.is_large:
        size = f"{change.bytes / 1024:+.1f} KiB"
        items.append(f"\x1b[{31 if change.bytes > 0 else 32};1m{size}\x1b[0m" if color else size)
    return items


def _versions(versions: tuple[str, ...]) -> str:
    return ", ".join(sorted(version or "ε" for version in versions)) or "∅"


def _document(change: Change) -> dict[str, JsonValue]:
    return {"name": change.name, "removed": [*change.removed], "added": [*change.added], "bytes": change.bytes}
