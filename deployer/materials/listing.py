"""Derivations and what is in the store, as a list of materials and of which needs which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deployer.materials import debian, node, wheels
from deployer.materials.material import Material, hashes_of, hashes_of_source, url_of
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made, Source, needed_first
from deployer.packages.interpreter import SUITES
from deployer.packages.recipes import DebianRecipe

if TYPE_CHECKING:
    from deployer.store import Store

_MIRROR: Final = "mirror://debian/"
_FILES: Final = {
    debian.BUILDER: debian.files_of_tree,
    wheels.BUILDER: wheels.files_of_environment,
    node.BUILDER: node.files_of_project,
}
"""What is made of packages that have names of their own, and the files of these."""


def debs_of(made: Iterable[Made]) -> tuple[Made, ...]:
    """The .debs among all that these are made from: they must be in the store before `list_materials`."""
    return tuple(item for item in needed_first(made) if url_of(item).startswith(_MIRROR))


def list_materials(packages: PackageSet, store: Store, made: Iterable[Made]) -> tuple[Material, ...]:
    """All that these packages, which are in the store, are made from, by reference. Raises `ArchiveRefused`."""
    return _Listing(packages, store, tuple(made)).materials()


class _Listing:
    def __init__(self, packages: PackageSet, store: Store, roots: tuple[Made, ...]) -> None:
        self._packages, self._store, self._roots = packages, store, roots
        self._running = frozenset(map(str, store.closure([root.output for root in roots])))
        self._found: dict[str, Material] = {}
        self._references: dict[str, str] = {}
        """By store path."""

    def materials(self) -> tuple[Material, ...]:
        ordered = needed_first(self._roots)
        parts = {file for item in ordered if item.derivation.builder in _FILES for file in _FILES[item.derivation.builder](item)}
        for item in ordered:
            for source in item.sources:
                if str(source.path) not in parts:
                    self._add_source(source)
            if str(item.output) not in parts:  # parts are told by the whole that they are in
                self._add(item)
        return tuple(self._found[reference] for reference in sorted(self._found))

    def _add(self, made: Made) -> None:
        path = str(made.output)
        whole = path in self._running
        needs: list[str] = []
        for file, part in self._parts(made):
            self._keep(replace(part, runs=whole))
            self._references[file] = part.reference
            needs.append(part.reference)
        recipe = self._packages.recipe_of(made)
        is_file = bool(made.derivation.outputs["out"].digest)
        material = Material(
            reference=Path(path).name,
            name=recipe.name if recipe is not None else made.derivation.name,
            version=recipe.version if recipe is not None else "",
            is_file=is_file,
            hashes=hashes_of(made) if is_file else (),
            url=url_of(made),
            store_path=path,
            runs=whole,
            needs=tuple(sorted({*needs, *self._needs(made)})),
        )
        self._keep(material)
        self._references[path] = material.reference

    def _parts(self, made: Made) -> Iterator[tuple[str, Material]]:
        """The packages with names of their own that are in this."""
        match made.derivation.builder:
            case debian.BUILDER:
                recipe = self._packages.recipe_of(made)
                # The one tree that has no recipe is that of the Python that deployer brings.
                suites = recipe.suites if isinstance(recipe, DebianRecipe) else SUITES
                yield from debian.debs_of_tree(self._store, made, suites[0])
            case wheels.BUILDER:
                yield from wheels.wheels_of_environment(self._store, made)
            case node.BUILDER:
                yield from node.packages_of_project(self._store, made)

    def _keep(self, material: Material) -> None:
        known = self._found.get(material.reference)
        if known is not None:  # of several wholes: it runs where any of them does
            needs = tuple(sorted({*known.needs, *material.needs}))
            licences = known.licences or material.licences
            material = replace(material, runs=known.runs or material.runs, needs=needs, licences=licences)
        self._found[material.reference] = material

    def _needs(self, made: Made) -> Iterator[str]:
        for path in (*(str(needed.output) for needed in made.inputs), *(str(source.path) for source in made.sources)):
            if path in self._references:
                yield self._references[path]

    def _add_source(self, source: Source) -> None:
        path = str(source.path)
        self._references[path] = Path(path).name
        if not source.is_cached:
            title, hashes = source.origin.name, hashes_of_source(source)
            runs = path in self._running
            self._keep(Material(reference=Path(path).name, name=title, is_file=True, hashes=hashes, store_path=path, runs=runs))
            return
        for other in map(str, self._store.closure([source.path])):
            name = Path(other).name
            needs = sorted(Path(str(needed)).name for needed in self._store.query(other).references if str(needed) != other)
            runs = other in self._running
            self._keep(Material(reference=name, name=name.partition("-")[2], store_path=other, runs=runs, needs=tuple(needs)))
