"""`deployer store gc`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from deployer.cli.amounts import duration, mebibytes, size
from deployer.cli.options import dry_run_option
from deployer.cli.store.errors import Misused
from deployer.cli.store.naming import open_store
from deployer.cli.store.options import store_options
from deployer.cli.store.printing import Printer
from deployer.cli.store.relations import Relations
from deployer.errors import JsonValue, near
from deployer.store import Collected, Store, collect
from deployer.store.generations import HOST, Generation, forget, generations, outdated


@click.command("gc")
@click.option("--max-freed", type=size, metavar="SIZE", help="Stop when so much is freed: 500M, 20G.")
@click.option("--delete-older-than", type=duration, metavar="TIME", help="First drop hosts' systems older than this: 30d.")
@click.option("--forget-host", "gone", multiple=True, metavar="NAME", help="First drop all systems of a host that is no more.")
@click.option("--print-roots", "printed", flag_value="roots", help="Print what is kept, and by which links, and do nothing.")
@click.option("--print-live", "printed", flag_value="live", help="Print all that is kept, and do nothing.")
@click.option("--print-dead", "printed", flag_value="dead", help="Print what would go, and do nothing.")
@dry_run_option
@store_options
@click.pass_context
def command(
    context: click.Context,
    max_freed: int | None,
    delete_older_than: float | None,
    gone: tuple[str, ...],
    printed: str | None,
    dry_run: bool,
) -> None:
    """Remove what no root leads to, and no running process, build or copy needs. They may go on meanwhile.

    Roots are the systems that were built for each host (`host-NAME-N-link`), and links that
    `deployer store realise --add-root` made. The newest system of a host always stays, and so does the one that was its newest
    at the time that is named.
    """
    if dry_run and printed:
        raise Misused("--print and --dry-run are two questions", "Ask one at a time.")
    store = open_store(context, existing=True)
    printer = Printer(context)
    match printed:
        case "roots":
            roots = Relations(store).roots()
            listed: list[JsonValue] = [{"link": link, "path": path} for link, path in roots]
            printer.answer([f"{link} -> {path}" for link, path in roots], {"roots": listed})
        case "live":
            dead = set(collect(store, dry_run=True).paths)
            live = [path for path in store.database.all_paths() if path not in dead]
            printer.answer(live, {"paths": [*live]})
        case "dead":
            paths = collect(store, dry_run=True).paths
            printer.answer(paths, {"paths": [*paths]})
        case _:
            old = _unwanted(generations(store), delete_older_than, gone)
            _collect(store, printer, old, max_freed, dry_run=dry_run)


def _unwanted(known: Sequence[Generation], older_than: float | None, hosts: Sequence[str]) -> tuple[Generation, ...]:
    """The generations to drop first."""
    names = {one.name.removeprefix(HOST) for one in known if one.name.startswith(HOST)}
    for host in hosts:
        if host not in names:
            alike = near(host, names)
            raise Misused(f"no system is kept for a host {host!r}", f"Did you mean {' or '.join(alike)}?" if alike else "")
    of_hosts = {one for one in known if one.name in {HOST + host for host in hosts}}
    late = () if older_than is None else outdated(known, time.time() - older_than)
    return tuple(one for one in known if one in of_hosts or one in late)


def _collect(store: Store, printer: Printer, old: tuple[Generation, ...], max_freed: int | None, *, dry_run: bool) -> None:
    for one in old:
        printer.say(f"{'would remove' if dry_run else 'removing'} generation {one.number} of {one.name}")
    if dry_run:
        collected = _without(store, old, max_freed)
    else:
        forget(store, old)
        collected = collect(store, max_freed=max_freed)
    for path in collected.paths:
        printer.say(f"{'would delete' if dry_run else 'deleting'} '{path}'")
    would = "would be " if dry_run else ""
    printer.answer(
        [f"{len(collected.paths)} store paths {would}deleted, {mebibytes(collected.bytes)} {would}freed"],
        {
            "paths": [*collected.paths],
            "bytes": collected.bytes,
            "generations": [one.root for one in old],
            "dry_run": dry_run,
        },
    )


def _without(store: Store, old: tuple[Generation, ...], max_freed: int | None) -> Collected:
    """What would go if these roots were not."""
    return collect(store, dry_run=True, max_freed=max_freed, without=[one.root for one in old])
