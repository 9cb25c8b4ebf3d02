"""The derivations that are left to build, read from the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from deployer.build.errors import InputMissing
from deployer.formats import Derivation, StorePath
from deployer.store import Store

_FETCH: Final = "builtin:fetchurl"


@dataclass(frozen=True, slots=True)
class Node:
    """One derivation whose outputs are not all valid."""

    path: StorePath
    derivation: Derivation
    outputs: Mapping[str, StorePath]
    needs: tuple[str, ...]
    """Paths of the derivations that it is made from."""

    @property
    def name(self) -> str:
        """For people."""
        return self.path.name.removesuffix(".drv")

    @property
    def is_fetch(self) -> bool:
        """Whether it waits for the network rather than for a processor."""
        return self.derivation.builder == _FETCH


@dataclass(frozen=True, slots=True)
class Graph:
    """What is left to build, by the derivations' paths."""

    nodes: Mapping[str, Node]
    wanted: tuple[str, ...]

    @classmethod
    def load(cls, store: Store, derivations: Iterable[StorePath]) -> Graph:
        """Read derivations and those that they need, going no further below what is valid. Raises `InputMissing`."""
        wanted = tuple(dict.fromkeys(str(path) for path in derivations))
        todo = [(path, "what was asked for") for path in wanted]
        nodes: dict[str, Node] = {}
        seen: set[str] = set()
        while todo:
            path, asker = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            node = _load(store, path, asker)
            if all(store.is_valid(output) for output in node.outputs.values()):
                continue
            for source in node.derivation.input_sources:
                if not store.is_valid(StorePath.parse(str(source))):
                    raise InputMissing(path, str(source))
            nodes[path] = node
            todo.extend((needed, path) for needed in node.needs)
        return cls(nodes, wanted)

    @property
    def dependencies(self) -> Mapping[str, tuple[str, ...]]:
        """What each waits for."""
        return {path: node.needs for path, node in self.nodes.items()}

    def tops(self, holds: Callable[[Node], bool]) -> Iterator[Node]:
        """From the wanted ones down, the first of each branch that holds."""
        todo = [path for path in self.wanted if path in self.nodes]
        seen: set[str] = set()
        while todo:
            path = todo.pop()
            if path in seen or path not in self.nodes:
                continue
            seen.add(path)
            if holds(self.nodes[path]):
                yield self.nodes[path]
            else:
                todo.extend(self.nodes[path].needs)


def _load(store: Store, path: str, asker: str) -> Node:
    parsed = StorePath.parse(path)
    if not store.is_valid(parsed):
        raise InputMissing(asker, path)
    derivation = read_derivation(store, path)
    outputs = {name: StorePath.parse(output.path) for name, output in derivation.outputs.items()}
    return Node(parsed, derivation, outputs, tuple(sorted(str(needed) for needed in derivation.input_derivations)))


def read_derivation(store: Store, path: str) -> Derivation:
    """Parse a derivation that is valid in the store."""
    parsed = StorePath.parse(path)
    return Derivation.parse(store.physical(parsed).read_text(), parsed.name.removesuffix(".drv"))
