"""`deployer store query`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import click

from deployer.cli.store.errors import Misused
from deployer.cli.store.naming import find_valid, open_store
from deployer.cli.store.options import paths_argument, store_options
from deployer.cli.store.printing import Printer
from deployer.cli.store.relations import Relations
from deployer.errors import JsonValue

if TYPE_CHECKING:
    from deployer.formats import StorePath

Answer = tuple[Iterable[str], JsonValue]
"""As lines, and as a document."""

_KINDS: Final = {
    "outputs": ("--outputs", "What derivations make.  (default)"),
    "references": ("--references", "What the paths refer to."),
    "referrers": ("--referrers", "What refers to the paths."),
    "requisites": ("--requisites/-R", "The paths' closure."),
    "referrers-closure": ("--referrers-closure", "What refers to the paths, directly or not."),
    "deriver": ("--deriver/-d", "The derivation that made each path."),
    "roots": ("--roots", "What keeps the paths from the collector."),
    "hash": ("--hash", "The hash of each path's NAR."),
    "size": ("--size", "The size of each path's NAR, in bytes."),
    "graph": ("--graph", "The closure, for Graphviz."),
    "tree": ("--tree", "The closure, as a tree."),
    "resolve": ("--resolve", "The store paths themselves."),
}
"""Name to options and help."""


def _kind_options(function: Callable[..., None]) -> Callable[..., None]:
    for name, (flags, text) in reversed(_KINDS.items()):
        function = click.option(*flags.split("/"), "kinds", flag_value=name, multiple=True, help=text)(function)
    return function


@click.command("query")
@paths_argument
@_kind_options
@click.option("--use-output", "-u", is_flag=True, help="Of derivations, ask about what they make.")
@click.option("--include-outputs", is_flag=True, help="With --requisites: what the derivations of the closure make, too.")
@store_options
@click.pass_context
def command(
    context: click.Context, paths: tuple[str, ...], kinds: tuple[str, ...], use_output: bool, include_outputs: bool
) -> None:
    """Ask what paths refer to, come from, or are kept by. Prints what `nix-store --query` prints.

    Paths come in Nix's order: each after those that it refers to.
    """
    if len(set(kinds)) > 1:
        raise Misused(f"--{kinds[0]} and --{kinds[1]} are two questions", "Ask one at a time.")
    store = open_store(context, existing=True)
    relations = Relations(store, include_outputs=include_outputs)
    found = list(find_valid(store, paths))
    kind = kinds[0] if kinds else "outputs"
    if use_output or kind == "outputs":
        found = [made for path in found for made in relations.outputs_of(path)]
    printer = Printer(context)
    printer.answer(*_ANSWERS[kind](relations, found))


def _paths(paths: Iterable[str]) -> Answer:
    listed = list(paths)
    return listed, {"paths": [*listed]}


def _union(
    direction: Callable[[Relations, Iterable[str]], Iterable[str]],
) -> Callable[[Relations, list[StorePath]], Answer]:
    return lambda relations, paths: _paths(relations.ordered(direction(relations, map(str, paths))))


def _derivers(relations: Relations, paths: list[StorePath]) -> Answer:
    derivers = {str(path): relations.info(str(path)).deriver for path in paths}
    lines = [derivers[str(path)] or "unknown-deriver" for path in paths]
    return lines, {"derivers": {path: deriver or None for path, deriver in derivers.items()}}


def _hashes(relations: Relations, paths: list[StorePath]) -> Answer:
    found = {str(path): relations.info(str(path)).nar_hash for path in paths}
    return [found[str(path)] for path in paths], {"hashes": {**found}}


def _sizes(relations: Relations, paths: list[StorePath]) -> Answer:
    found = {str(path): relations.info(str(path)).nar_size for path in paths}
    return [str(found[str(path)]) for path in paths], {"sizes": {**found}}


def _roots(relations: Relations, paths: list[StorePath]) -> Answer:
    roots = relations.roots_of(map(str, paths))
    return [f"{link} -> {path}" for link, path in roots], {"roots": [{"link": link, "path": path} for link, path in roots]}


def _graph(relations: Relations, paths: list[StorePath]) -> Answer:
    from deployer.cli.store.drawing import graph

    found = relations.closure(map(str, paths))
    return graph(map(str, paths), found), {"references": {path: [*found[path]] for path in found}}


def _tree(relations: Relations, paths: list[StorePath]) -> Answer:
    from deployer.cli.store.drawing import tree

    found = relations.closure(map(str, paths))
    return tree(map(str, paths), found), {"references": {path: [*found[path]] for path in found}}


_ANSWERS: Final[dict[str, Callable[[Relations, list[StorePath]], Answer]]] = {
    "outputs": lambda _relations, paths: _paths(map(str, paths)),
    "resolve": lambda _relations, paths: _paths(map(str, paths)),
    "references": _union(Relations.references),
    "referrers": _union(Relations.referrers),
    "requisites": _union(Relations.requisites),
    "referrers-closure": _union(Relations.referrers_closure),
    "deriver": _derivers,
    "roots": _roots,
    "hash": _hashes,
    "size": _sizes,
    "graph": _graph,
    "tree": _tree,
}
