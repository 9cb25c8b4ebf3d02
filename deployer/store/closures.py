"""Closures: what leads to what, and the order in which Nix prints it."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, Mapping, Tuple

from deployer.formats.export import export_order

References = Callable[[str], Tuple[str, ...]]
"""From a path to those that it refers to (or, for referrers, to those that refer to it)."""


def reached(start: Iterable[str], references: References) -> Dict[str, Tuple[str, ...]]:
    """Every path that `start` leads to, itself among them, with what it refers to."""
    found: Dict[str, Tuple[str, ...]] = {}
    todo = list(start)
    while todo:
        path = todo.pop()
        if path not in found:
            found[path] = references(path)
            todo.extend(found[path])
    return found


def in_order(paths: Iterable[str], references: Mapping[str, Iterable[str]]) -> Tuple[str, ...]:
    """The paths, each after those of them that it refers to; by name where that leaves a choice (Nix: `topoSortPaths`)."""
    return tuple(export_order({path: references.get(path, ()) for path in paths}))
