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
            # All that is asked for together is looked up together: to ask the store is most of the work.
            seen.update(_load(store, {path: asker for path, asker, _ in todo if path not in seen}))
            known = {path: seen[path].wanted for path, _, _ in todo}
            for path, _, names in todo:
                node = seen[path]
                seen[path] = replace(node, wanted=node.wanted | (frozenset(names) or frozenset(node.outputs)))
            changed = [seen[path] for path, before in known.items() if seen[path].wanted != before]
            asked = (path for node in changed for path in (*map(str, node.wanted_outputs), *node.derivation.input_sources))
            valid = store.valid(asked)
            todo = []
            for node in changed:
                path = str(node.path)
                is_new = path not in left
                if is_new and not (again and path in wanted) and valid.issuperset(map(str, node.wanted_outputs)):
                    continue
                left[path] = node
                if is_new:
                    for source in node.derivation.input_sources:
                        if source not in valid:
                            raise InputMissing(path, source)
                    todo.extend((needed, path, node.derivation.input_derivations[needed]) for needed in node.needs)
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


def _load(store: Store, askers: Mapping[str, str]) -> dict[str, Node]:
    """Read derivations, given what asked for each. Raises `InputMissing`."""
    parsed = {path: StorePath.parse(path, store.store_dir) for path in askers}
    store.keep(parsed.values())
    valid = store.valid(parsed)
    found: dict[str, Node] = {}
    for path, asker in askers.items():
        if path not in valid:
            raise InputMissing(asker, path)
        derivation = read_derivation(store, path)
        outputs = {name: StorePath.parse(output.path, store.store_dir) for name, output in derivation.outputs.items()}
        found[path] = Node(parsed[path], derivation, outputs, tuple(sorted(map(str, derivation.input_derivations))))
    # Before anybody asks whether they are valid: the collector must not take them while we rely on them.
    store.keep(output for node in found.values() for output in node.outputs.values())
    return found


def read_derivation(store: Store, path: str) -> Derivation:
    """Parse a derivation that is valid in the store."""
    parsed = StorePath.parse(path, store.store_dir)
    return Derivation.parse(store.physical(parsed).read_bytes(), parsed.name.removesuffix(".drv"))
