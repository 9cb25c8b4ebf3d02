"""`deployer derivation`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from deployer.cli.options import store_option
from deployer.cli.store.options import paths_argument

if TYPE_CHECKING:
    from deployer.cli.store.relations import Relations
    from deployer.errors import JsonValue
    from deployer.formats import Derivation, Output, StorePath


@click.group("derivation")
def command() -> None:
    """Show derivations: what is built, by which program, from what."""


@command.command("show")
@paths_argument
@click.option("-r", "--recursive", is_flag=True, help="All that they are built from, too.")
@store_option
@click.option("--json", is_flag=True, expose_value=False, help="Print JSON, which it does in any case.")
@click.pass_context
def show(context: click.Context, paths: tuple[str, ...], recursive: bool) -> None:
    """Print derivations as JSON, as `nix show-derivation` does. A PATH that is none stands for what made it."""
    from deployer.cli.store.naming import find_valid, open_store
    from deployer.cli.store.printing import Printer
    from deployer.cli.store.relations import Relations

    store = open_store(context, existing=True)
    relations = Relations(store)
    found = {str(_derivation_of(relations, path)) for path in find_valid(store, paths)}
    if recursive:
        found = {path for path in relations.closure(found) if path.endswith(".drv")}
    document = {path: _document(relations.derivation(relations.parse(path))) for path in sorted(found)}
    Printer(context).raw(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _derivation_of(relations: Relations, path: StorePath) -> StorePath:
    from deployer.cli.store.errors import NothingRecorded
    from deployer.cli.store.naming import unknown

    if path.name.endswith(".drv"):
        return path
    deriver = relations.info(str(path)).deriver
    if not deriver:
        raise NothingRecorded(str(path), "derivation", "It was added or imported, not built.")
    found = relations.parse(deriver)
    if not relations.store.is_valid(found):
        raise unknown(relations.store, found)
    return found


def _document(derivation: Derivation) -> dict[str, JsonValue]:
    return {
        "outputs": {name: _output(output) for name, output in sorted(derivation.outputs.items())},
        "inputSrcs": [*sorted(derivation.input_sources)],
        "inputDrvs": {path: [*sorted(names)] for path, names in sorted(derivation.input_derivations.items())},
        "system": derivation.system,
        "builder": derivation.builder,
        "args": [*derivation.arguments],
        "env": dict(sorted(derivation.environment.items())),
    }


def _output(output: Output) -> JsonValue:
    fixed: dict[str, JsonValue] = {"hashAlgo": output.algorithm, "hash": output.digest} if output.digest else {}
    return {"path": output.path, **fixed}
