"""Reading packages.yaml: names and places of every entry, and all errors of the file together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from deployer.errors import DeployerError, Place, raise_all
from deployer.packages.entries import Entry
from deployer.packages.errors import PackageInvalid
from deployer.packages.recipes import Recipe

_FILE = "packages.yaml"


def read_recipes(path: Path) -> dict[str, Recipe]:
    """The recipes of a file. Raises everything that is wrong with it."""
    try:
        loader = yaml.SafeLoader(path.read_text())
        top = loader.get_single_node()
    except FileNotFoundError:
        raise PackageInvalid(_FILE, "the file does not exist", Place(str(path))) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(str(path), mark.line + 1, mark.column + 1) if mark else Place(str(path))
        raise PackageInvalid(_FILE, f"it is not YAML: {error.problem or error.context}", place) from None
    if top is None:
        return {}
    if not isinstance(top, yaml.MappingNode):
        raise PackageInvalid(_FILE, "it is not a mapping from names to packages", _place(path, top))
    errors: list[DeployerError] = []
    recipes: dict[str, Recipe] = {}
    for key, value in top.value:
        name = str(key.value)
        if name in recipes:
            errors.append(PackageInvalid(name, "it is defined twice", _place(path, key)))
        entry = Entry(name, _plain(loader, value, errors, path), _Places(path, key, value), path.parent)
        recipe = entry.parse()
        errors += entry.errors
        if recipe is not None:
            recipes[name] = recipe
    raise_all(errors)
    return recipes


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
        for (name, _), text in zip(node.value, names, strict=True):
            if names.count(text) > 1:
                errors.append(PackageInvalid(text, "the key stands twice", _place(path, name)))
    try:
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        errors.append(PackageInvalid(_FILE, str(error.problem), _place(path, node)))
        return None


def _place(path: Path, node: yaml.Node) -> Place:
    return Place(str(path), node.start_mark.line + 1, node.start_mark.column + 1)
