"""`deployer package`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from deployer.cli import vendor_command
from deployer.cli.display import Display
from deployer.cli.environments import Workbench, named_packages, packages_option
from deployer.cli.options import build_options, json_option, store_option
from deployer.formats import StorePath

if TYPE_CHECKING:
    from deployer.errors import JsonValue
    from deployer.packages.derivation_inputs import Made

_ROOT_TREE: Final = "builtin:debian-root"
names_argument = click.argument("names", metavar="NAME...", nargs=-1, required=True)


@click.group("package")
def command() -> None:
    """Build packages, and show what they are and what they are made from."""


command.add_command(vendor_command.command)


@command.command("build")
@packages_option
@build_options
@store_option
@json_option
@names_argument
@click.pass_context
def build(context: click.Context, package_file: Path | None, names: tuple[str, ...]) -> None:
    """Have packages in this machine's store, and print where they are."""
    bench = Workbench(context.obj, package_file)
    made = named_packages(bench, names)
    bench.have(made.values())
    display = Display(context.obj)
    for name, item in made.items():
        place = str(bench.store.physical(item.output))
        if context.obj.as_json:
            display.data({"package": name, "output": str(item.output), "path": place})
        else:
            display.text(place)


@command.command("show")
@packages_option
@store_option
@json_option
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.pass_context
def show(context: click.Context, package_file: Path | None, names: tuple[str, ...]) -> None:
    """Show packages: kind, store path, whether it is built, and what it is made from. Without NAME, all in short.

    Of a root tree that is built, also the accounts that the scripts of its packages would make: declare them under `users` and
    `groups`, where no module does.
    """
    bench = Workbench(context.obj, package_file)
    made = named_packages(bench, names or bench.packages.names())
    display = Display(context.obj)
    for name, item in made.items():
        document = _document(bench, name, item)
        if names or context.obj.as_json:
            document |= _accounts(bench, item)
        if context.obj.as_json:
            display.data(document)
        elif not names:
            display.text(f"{name}\t{document['kind']}\t{item.output}")
        else:
            display.text("\n".join(_page(document)))


@command.command("graph")
@packages_option
@click.option("--tree", "as_tree", is_flag=True, help="As a tree in text, instead of Graphviz's language.")
@store_option
@names_argument
@click.pass_context
def graph(context: click.Context, package_file: Path | None, as_tree: bool, names: tuple[str, ...]) -> None:
    """Print what packages are made from, all the way down, for Graphviz: `deployer package graph NAME | dot -Tsvg`."""
    from deployer.cli.store import drawing

    bench = Workbench(context.obj, package_file)
    made = named_packages(bench, names)
    needs: dict[str, tuple[str, ...]] = {}
    todo = [*made.values()]
    while todo:
        item = todo.pop()
        if str(item.path) not in needs:
            needs[str(item.path)] = tuple(str(needed.path) for needed in item.inputs)
            todo += item.inputs
    draw = drawing.tree if as_tree else drawing.graph
    display = Display(context.obj)
    for line in draw([str(item.path) for item in made.values()], needs):
        display.text(line)


@command.command("sbom")
@packages_option
@build_options
@store_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["cyclonedx", "spdx"]),
    default="cyclonedx",
    show_default=True,
    help="CycloneDX 1.6 or SPDX 2.3.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where to write it.")
@names_argument
@click.pass_context
def sbom(context: click.Context, package_file: Path | None, form: str, output: Path | None, names: tuple[str, ...]) -> None:
    """Print a bill of materials of packages, all the way down: CycloneDX or SPDX, as JSON.

    It has every .deb, wheel, npm package, fetched file and build that they are made from, with hashes, package URLs, what needs
    what, and licences where they are known. The packages are built first. The same packages give the same bill; its time stamp is
    SOURCE_DATE_EPOCH, and without that none, or 1970 in SPDX, which must have one.
    """
    from deployer.materials import cyclonedx_document, list_materials, spdx_document
    from deployer.materials.listing import debs_of

    bench = Workbench(context.obj, package_file)
    made = named_packages(bench, names)
    bench.have([*made.values(), *debs_of(made.values())])
    materials = list_materials(bench.packages, bench.store, made.values())
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    roots = [Path(str(item.output)).name for item in made.values()]
    write = spdx_document if form == "spdx" else cyclonedx_document
    text = write(materials, [*made], roots, timestamp=int(epoch) if epoch.isdecimal() else None)
    if output is None:
        Display(context.obj).text(text.rstrip("\n"))
    else:
        output.write_text(text, encoding="utf-8")


def _document(bench: Workbench, name: str, made: Made) -> dict[str, JsonValue]:
    valid = bench.store.is_valid(made.output)
    size = sum(bench.store.query(path).nar_size for path in bench.store.closure([made.output])) if valid else None
    return {
        "package": name,
        "kind": bench.packages.recipes[name].kind,
        "output": str(made.output),
        "derivation": str(made.path),
        "built": valid,
        "closure_bytes": size,
        "made_from": [
            *(needed.output.name for needed in made.inputs),
            *(str(source.path) for source in made.sources if source.is_cached),
        ],
    }


def _accounts(bench: Workbench, made: Made) -> dict[str, JsonValue]:
    """The accounts that the scripts of a root tree's packages would make; null where it or its .debs are not in the store."""
    from deployer.build.debian_accounts import accounts_of_tree
    from deployer.build.debian_root import Deb

    if made.derivation.builder != _ROOT_TREE:
        return {}
    store, files = bench.store, json.loads(made.derivation.environment["debs"])
    if len(store.valid([made.output, *(StorePath.parse(deb["file"]) for deb in files)])) != len(files) + 1:
        return {"accounts": None}
    debs = [Deb(deb["name"], store.physical(deb["file"])) for deb in files]
    found = accounts_of_tree(store.physical(made.output), debs)
    return {"accounts": [{"name": one.name, "kind": one.kind, "said_by": one.said_by} for one in found]}


def _page(document: dict[str, JsonValue]) -> Iterable[str]:
    yield f"{document['package']}"
    yield f"  kind        {document['kind']}"
    yield f"  output      {document['output']}"
    yield f"  derivation  {document['derivation']}"
    yield f"  built       {'yes' if document['built'] else 'no'}"
    if document["closure_bytes"] is not None:
        yield f"  closure     {document['closure_bytes']} bytes"
    accounts = document.get("accounts")
    if isinstance(accounts, list) and accounts:
        lines = (f"{one['kind']} {one['name']}  # {one['said_by']}" for one in accounts if isinstance(one, dict))
        yield "  accounts    " + "\n              ".join(lines)
    made_from = document["made_from"]
    if isinstance(made_from, list) and made_from:
        yield "  made from   " + "\n              ".join(map(str, made_from))
