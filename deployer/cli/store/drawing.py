"""Closures as pictures in text: Nix's `--graph` for Graphviz, and its `--tree`."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import cycle
from pathlib import PurePosixPath
from typing import Final

from deployer.store.closures import in_order

FORK: Final = "├───"
LAST: Final = "└───"
LINE: Final = "│   "
BLANK: Final = "    "
_COLOURS: Final = ("black", "red", "green", "blue", "magenta", "burlywood")


def graph(roots: Iterable[str], references: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """A node a path and an edge a reference, in the language of Graphviz."""
    colours = cycle(_COLOURS)
    todo = sorted(set(roots))
    queued = set(todo)
    yield "digraph G {"
    while todo:
        path = heapq.heappop(todo)
        base = PurePosixPath(path).name
        yield f'"{base}" [label = "{base[33:]}", shape = box, style = filled, fillcolor = "#ff0000"];'
        for other in sorted(references[path]):
            if other != path:
                yield f'"{PurePosixPath(other).name}" -> "{base}" [color = "{next(colours)}"];'
                if other not in queued:
                    queued.add(other)
                    heapq.heappush(todo, other)
    yield "}"


def tree(roots: Iterable[str], references: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """A line a reference; what was shown already is not shown in full again."""
    done: set[str] = set()
    for root in roots:
        todo = [(root, "", "")]
        while todo:
            path, first, rest = todo.pop()
            if path in done:
                yield f"{first}{path} [...]"
                continue
            done.add(path)
            yield f"{first}{path}"
            # What others of them need comes before them: so the tree stays flat.
            below = in_order(references[path], references)
            for at, other in enumerate(reversed(below)):
                end = at == 0
                todo.append((other, rest + (LAST if end else FORK), rest + (BLANK if end else LINE)))
