"""What a build may see: the closure of its inputs. Neighbours share most of theirs, so what was read once is remembered."""

from __future__ import annotations

from collections.abc import Mapping

from deployer.build.graph import Node, read_derivation
from deployer.formats import StorePath
from deployer.store import Store


class Inputs:
    """Reads one store, for one run; what is valid and kept from the collector does not change."""

    def __init__(self, store: Store) -> None:
        """Nothing is read yet."""
        self._store = store
        self._references: dict[str, tuple[str, ...]] = {}
        self._outputs: dict[str, Mapping[str, str]] = {}

    def closure(self, node: Node) -> list[StorePath]:
        """The sources, the outputs that it asked for, and all that they refer to. Raises `PathNotValid`.

        `Graph.load` keeps all of them from the collector: the derivations by name, and with them their sources, and the outputs.
        """
        wanted = [*node.derivation.input_sources]
        for path, names in node.derivation.input_derivations.items():
            outputs = self._outputs_of(path)
            wanted += [outputs[name] for name in names]
        found: dict[str, None] = {}
        todo = wanted
        while todo:
            path = todo.pop()
            if path not in found:
                found[path] = None
                todo.extend(self._references_of(path))
        return [StorePath.parse(path, self._store.store_dir) for path in found]

    def _references_of(self, path: str) -> tuple[str, ...]:
        if path not in self._references:
            self._references[path] = self._store.query(path).references
        return self._references[path]

    def _outputs_of(self, derivation: str) -> Mapping[str, str]:
        if derivation not in self._outputs:
            outputs = read_derivation(self._store, derivation).outputs
            self._outputs[derivation] = {name: output.path for name, output in outputs.items()}
        return self._outputs[derivation]
