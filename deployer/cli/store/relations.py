"""How the paths of a store hang together, each looked up once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from deployer.formats import Derivation, StorePath
from deployer.store import PathInfo, Store
from deployer.store.closures import in_order, reached

if TYPE_CHECKING:
    from collections.abc import Mapping


class Relations:
    """Answers about one store, as Nix would give them."""

    def __init__(self, store: Store, *, include_outputs: bool = False) -> None:
        """With `include_outputs`, a closure that has a derivation has what it made, too."""
        self.store = store
        self._include_outputs = include_outputs
        self._infos: dict[str, PathInfo] = {}

    def parse(self, path: str) -> StorePath:
        """A path of this store."""
        return StorePath.parse(path, self.store.store_dir)

    def info(self, path: str) -> PathInfo:
        """What is registered. Raises `PathNotValid`."""
        if path not in self._infos:
            self._infos[path] = self.store.query(path)
        return self._infos[path]

    def closure(self, paths: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """The paths and all that they lead to, with what each refers to."""
        return reached(paths, lambda path: self.info(path).references)

    def references(self, paths: Iterable[str]) -> set[str]:
        """What any of the paths refers to, itself too."""
        return {reference for path in paths for reference in self.info(path).references}

    def referrers(self, paths: Iterable[str]) -> set[str]:
        """What refers to any of the paths, itself too."""
        return {referrer for path in paths for referrer in self._referrers(path)}

    def requisites(self, paths: Iterable[str]) -> set[str]:
        """The closure."""

        def onward(path: str) -> tuple[str, ...]:
            made = self._valid_outputs(path) if self._include_outputs and path.endswith(".drv") else ()
            return (*self.info(path).references, *made)

        return set(reached(paths, onward))

    def referrers_closure(self, paths: Iterable[str]) -> set[str]:
        """All that leads to any of the paths."""
        return set(reached(paths, self._referrers))

    def ordered(self, paths: Iterable[str]) -> tuple[str, ...]:
        """In the order in which Nix prints them."""
        listed = set(paths)
        return in_order(listed, {path: self.info(path).references for path in listed})

    def outputs_of(self, path: StorePath) -> list[StorePath]:
        """What a derivation makes, by the outputs' names; any other path stands for itself."""
        if not path.name.endswith(".drv"):
            return [path]
        outputs = self.derivation(path).outputs
        return [self.parse(outputs[name].path) for name in sorted(outputs)]

    def derivation(self, path: StorePath) -> Derivation:
        """Read a valid derivation."""
        return Derivation.parse(self.store.physical(path).read_bytes(), path.name.removesuffix(".drv"))

    def roots_of(self, paths: Iterable[str]) -> list[tuple[str, str]]:
        """The links that keep any of the paths, and where each leads."""
        kept_by = self.referrers_closure(path for path in paths if self.store.is_valid(path))
        return sorted(((link, path) for link, path in self.roots() if path in kept_by), key=lambda root: (root[1], root[0]))

    def roots(self) -> list[tuple[str, str]]:
        """All that keeps something, and what: links, told as the user made them, and what processes have open."""
        from deployer.store import roots_of
        from deployer.store.processes import in_use

        found = []
        for name, path in roots_of(self.store).items():
            link = self.store.layout.roots / name
            target = os.readlink(link)
            is_indirect = os.path.isabs(target) and not target.startswith(self.store.store_dir + "/") and os.path.islink(target)
            found.append((target if is_indirect else str(link), path))
        found += in_use(self.store)
        return sorted((link, path) for link, path in set(found) if self.store.is_valid(path))

    def _referrers(self, path: str) -> tuple[str, ...]:
        itself = (path,) if path in self.info(path).references else ()
        return (*self.store.referrers(path), *itself)

    def _valid_outputs(self, path: str) -> tuple[str, ...]:
        outputs = self.outputs_of(self.parse(path))
        return tuple(str(output) for output in outputs if self.store.is_valid(output))
