"""`deployer store why-depends`."""

from __future__ import annotations

import click

from deployer.cli.store.naming import find_valid, open_store
from deployer.cli.store.options import store_options
from deployer.cli.store.printing import Printer
from deployer.errors import JsonValue
from deployer.store.why import why_depends


@click.command("why-depends")
@click.argument("path")
@click.argument("dependency")
@click.option("--all", "-a", "show_all", is_flag=True, help="Every chain of references, not the shortest alone.")
@click.option("--precise", is_flag=True, help="The files that hold the references, and the text around them.")
@store_options
@click.pass_context
def command(context: click.Context, path: str, dependency: str, show_all: bool, precise: bool) -> None:
    """Show why PATH needs DEPENDENCY: a chain of references, as `nix why-depends` prints it.

    Where it does not, it says so; that is an answer too, so the exit code is 0.
    """
    from deployer.cli.store.chains import chains

    store = open_store(context, existing=True)
    top, bottom = find_valid(store, [path, dependency])
    why = why_depends(store, top, bottom)
    printer = Printer(context)
    if why is None:
        printer.say(f"'{top}' does not depend on '{bottom}'")
        if printer.as_json:
            printer.document({"path": str(top), "dependency": str(bottom), "depends": False, "chain": []})
        return
    if printer.as_json:
        document: dict[str, JsonValue] = {
            "path": str(top),
            "dependency": str(bottom),
            "depends": True,
            "chain": [*why.shortest()],
        }
        if show_all:
            document["references"] = {one: [*why.steps(one)] for one in sorted(why.distances)}
        printer.document(document)
        return
    printer.lines(chains(store, why, show_all=show_all, precise=precise, color=printer.has_color))
