"""Reading packages.yaml and overlays: names and places of every entry, and all errors of the file together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from deployer.errors import DeployerError, Place, raise_all
from deployer.packages.entries import Entry
from deployer.packages.errors import PackageInvalid, PackagesFileInvalid
from deployer.packages.recipes import Recipe

if TYPE_CHECKING:
    from deployer.packages.package_set import Overlay

OVERLAYS: Final = "overlays"
"""The key of packages.yaml that is no package."""
_LOOK: Final = "Look for a missing quote, colon or bracket just before here."


@dataclass(frozen=True, slots=True)
class PackageFile:
    """What packages.yaml says: packages, and what is laid over them."""

    recipes: Mapping[str, Recipe]
    overlays: tuple[Overlay, ...]


def read_package_file(path: Path) -> PackageFile:
    """packages.yaml with the overlays that it names, in their order. Raises everything that is wrong with them."""
    from deployer.packages.overlays import read_overlay

    document = EntryFile.read(path)
    named, entries = document.take_overlays()
    errors, recipes = document.errors, dict[str, Recipe]()
    for entry in entries:
        recipe = entry.parse()
        errors += entry.errors
        if recipe is not None:
            recipes[entry.name] = recipe
    overlays: list[Overlay] = []
    for name, place in named:
        try:
            overlays.append(read_overlay(path.parent / name, place))
        except DeployerError as error:
            errors.append(error)
    raise_all(errors)
    return PackageFile(recipes, tuple(overlays))


class EntryFile:
    """A YAML file that maps names to entries, as it was when it was read."""

    def __init__(self, path: Path, loader: yaml.SafeLoader, pairs: Sequence[tuple[yaml.Node, yaml.Node]]) -> None:
        """What `read` found."""
        self.errors: list[DeployerError] = []
        self._pairs, self._path, self._loader = pairs, path, loader

    @classmethod
    def read(cls, path: Path) -> EntryFile:
        """Raises `PackagesFileInvalid` where it is no such file."""
        try:
            loader = yaml.SafeLoader(path.read_text())
            top = loader.get_single_node()
        except FileNotFoundError:
            raise PackagesFileInvalid("the file does not exist", Place(str(path)), "Create it, or correct its path.") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Place(str(path), mark.line + 1, mark.column + 1) if mark else Place(str(path))
            raise PackagesFileInvalid(f"it is not YAML: {error.problem or error.context}", place, _LOOK) from None
        if top is not None and not isinstance(top, yaml.MappingNode):
            found = "a list" if isinstance(top, yaml.SequenceNode) else "a single value"
            reason = f"a set of packages is a mapping, and this is {found}"
            raise PackagesFileInvalid(reason, _place(path, top), "Write `NAME: {kind: …}` lines at the top.")
        return cls(path, loader, top.value if top is not None else ())

    def take_overlays(self) -> tuple[list[tuple[str, Place]], tuple[Entry, ...]]:
        """The overlays that it names, each with its place, and all other entries."""
        named: list[tuple[str, Place]] = []
        others = []
        for key, value in self._pairs:
            if key.value != OVERLAYS:
                others.append((key, value))
            elif isinstance(value, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in value.value):
                named += [(str(item.value), _place(self._path, item)) for item in value.value]
            else:
                reason = f"`{OVERLAYS}` must be a list of files"
                self.errors.append(PackagesFileInvalid(reason, _place(self._path, key), f"Write `{OVERLAYS}: [FILE]`."))
        return named, self._entries(others)

    def entries(self) -> tuple[Entry, ...]:
        """All entries, each to be read once. Raises what is wrong with them as entries of a mapping."""
        self.errors.clear()
        found = self._entries(self._pairs)
        raise_all(self.errors)
        return found

    def _entries(self, pairs: Sequence[tuple[yaml.Node, yaml.Node]]) -> tuple[Entry, ...]:
        found: dict[str, Entry] = {}
        lines: dict[str, int] = {}
        for key, value in pairs:
            name = str(key.value)
            if name in lines:
                reason = f"it is defined twice; first in line {lines[name]}"
                self.errors.append(PackageInvalid(name, reason, _place(self._path, key), "Keep one."))
            lines.setdefault(name, key.start_mark.line + 1)
            plain = _plain(self._loader, value, self.errors, self._path)
            found[name] = Entry(name, plain, _Places(self._path, key, value), self._path.parent)
        return tuple(found.values())


class _Places:
    """Where the keys of one entry stand."""

    def __init__(self, path: Path, key: yaml.Node, value: yaml.Node) -> None:
        self._whole = _place(path, key)
        pairs = value.value if isinstance(value, yaml.MappingNode) else []
        self._keys = {str(name.value): _place(path, name) for name, _ in pairs}

    def __call__(self, key: str) -> Place:
        return self._keys.get(key, self._whole)


def _plain(loader: yaml.SafeLoader, node: yaml.Node, errors: list[DeployerError], path: Path) -> Any:
    if isinstance(node, yaml.MappingNode):
        names = [str(name.value) for name, _ in node.value]
        for index, (name, _) in enumerate(node.value):
            if names[index] in names[:index]:
                errors.append(PackagesFileInvalid(f"the key '{names[index]}' stands twice", _place(path, name), "Keep one."))
    try:
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        errors.append(PackagesFileInvalid(str(error.problem), _place(path, node), _LOOK))
        return None


def _place(path: Path, node: yaml.Node) -> Place:
    return Place(str(path), node.start_mark.line + 1, node.start_mark.column + 1)
