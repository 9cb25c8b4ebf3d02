"""The derivations that are left to build, read from the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from deployer.build.attributes import Attributes
from deployer.build.errors import InputMissing
from deployer.formats import Derivation, StorePath
from deployer.formats.modulo import ModuloHashes
from deployer.store import Store

BUILTIN: Final = "builtin:"
FETCH: Final = "builtin:fetchurl"
"""The builder of what is fetched."""


@dataclass(frozen=True, slots=True)
class Node:
    """One derivation whose outputs are not all valid."""

    path: StorePath
    derivation: Derivation
    outputs: Mapping[str, StorePath]
    needs: tuple[str, ...]
    """Paths of the derivations that it is made from."""
    wanted: frozenset[str] = frozenset()
    """Names of the outputs that somebody asked for."""

    @property
    def name(self) -> str:
        """For people."""
        return self.path.name.removesuffix(".drv")

    @property
    def is_fetch(self) -> bool:
        """Whether it waits for the network rather than for a processor."""
        return self.derivation.builder == FETCH

    @property
    def is_builtin(self) -> bool:
        """Whether our own code makes it."""
        return self.derivation.builder.startswith(BUILTIN)

    @property
    def attributes(self) -> Attributes:
        """What it says of itself."""
        return Attributes(self.derivation, str(self.path))

    @property
    def required_features(self) -> frozenset[str]:
        """What a machine must offer to build it."""
        return frozenset(self.attributes.strings("requiredSystemFeatures") or ())

    @property
    def prefers_local_build(self) -> bool:
        """Whether it is cheaper to make than to send."""
        return self.attributes.flag("preferLocalBuild")

    @property
    def wanted_outputs(self) -> tuple[StorePath, ...]:
        """The outputs that must be valid for it to be done."""
        return tuple(path for name, path in self.outputs.items() if name in self.wanted)


@dataclass(frozen=True, slots=True)
class Graph:
    """What is left to build, by the derivations' paths."""

    nodes: Mapping[str, Node]
    wanted: tuple[str, ...]

    @classmethod
    def load(cls, store: Store, derivations: Iterable[StorePath], *, again: bool = False) -> Graph:
        """Read derivations and those that they need, going no further below what is valid.

        Raises `InputMissing`, and `DerivationRefused` for one that claims the output of another.

        `again`: the derivations themselves are to be built even where they are valid.
        """
        wanted = tuple(dict.fromkeys(str(path) for path in derivations))
        todo: list[tuple[str, str, Iterable[str]]] = [(path, "what was asked for", ()) for path in wanted]
        seen: dict[str, Node] = {}
        left: dict[str, Node] = {}
        while todo:
            path, asker, names = todo.pop()
            known = seen.get(path)
            node = known or _load(store, path, asker)
            node = replace(node, wanted=node.wanted | (frozenset(names) or frozenset(node.outputs)))
            if known is not None and node.wanted == known.wanted:
                continue
            seen[path] = node
            if path not in left:
                is_again = again and path in wanted
                if not is_again and all(store.is_valid(output) for output in node.wanted_outputs):
                    continue
                for source in node.derivation.input_sources:
                    if not store.is_valid(StorePath.parse(str(source), store.store_dir)):
                        raise InputMissing(path, str(source))
                todo.extend((needed, path, node.derivation.input_derivations[needed]) for needed in node.needs)
            left[path] = node
        hashes = ModuloHashes(lambda path: seen[path].derivation if path in seen else read_derivation(store, path))
        for path in left:
            hashes.check(path, store.store_dir)
        return cls(left, wanted)

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
    parsed = StorePath.parse(path, store.store_dir)
    store.keep([parsed])
    if not store.is_valid(parsed):
        raise InputMissing(asker, path)
    derivation = read_derivation(store, path)
    outputs = {name: StorePath.parse(output.path, store.store_dir) for name, output in derivation.outputs.items()}
    # Before anybody asks whether they are valid: the collector must not take them while we rely on them.
    store.keep(outputs.values())
    return Node(parsed, derivation, outputs, tuple(sorted(str(needed) for needed in derivation.input_derivations)))


def read_derivation(store: Store, path: str) -> Derivation:
    """Parse a derivation that is valid in the store."""
    parsed = StorePath.parse(path, store.store_dir)
    return Derivation.parse(store.physical(parsed).read_bytes(), parsed.name.removesuffix(".drv"))
