"""Configuration files: read once, with all that they import, as definitions of options."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deployer import yaml_source
from deployer.config.definitions import AFTER, BEFORE, DEFAULT, FORCE, IN_ORDER, NORMAL, Definition
from deployer.config.errors import ImportFailed, did_you_mean
from deployer.config.inputs import Inputs, look_at, recorded
from deployer.errors import DeployerError, Place
from deployer.yaml_source import Mapping, Node, Scalar, Sequence, YamlRefused

IMPORTS: Final = "imports"
_PRIORITIES: Final = {"!force": FORCE, "!default": DEFAULT}
_ORDERS: Final = {"!before": BEFORE, "!after": AFTER}
TAGS: Final = (*_PRIORITIES, *_ORDERS)


@dataclass(frozen=True, slots=True)
class Source:
    """One file's definitions, by top-level key."""

    path: Path
    definitions: AbstractMapping[str, Definition]


@dataclass(frozen=True, slots=True)
class Closure:
    """A configuration file with all that it imports."""

    sources: tuple[Source, ...]
    """Imported ones first, each once."""
    modules: tuple[Path, ...]
    """Files of modules that are imported besides the library."""
    errors: tuple[DeployerError, ...]
    """What is wrong with the files themselves."""
    inputs: Inputs
    """What was looked at to find and read them."""


@dataclass(frozen=True, slots=True)
class Import:
    """A file that another imports."""

    path: Path
    node: Scalar


@dataclass(frozen=True, slots=True)
class _Loaded:
    source: Source
    imports: tuple[Import, ...]
    errors: tuple[DeployerError, ...]
    inputs: Inputs


class Sources:
    """Files that were read already; many hosts share them."""

    def __init__(self, module_names: Collection[str] = ()) -> None:
        """Nothing is read yet. Modules of these names are there without being imported."""
        self._module_names = module_names
        self._read: dict[Path, _Loaded] = {}

    def closure(self, path: Path) -> Closure:
        """A file and all that it imports."""
        errors: list[DeployerError] = []
        modules: dict[Path, None] = {}
        done: dict[Path, Source] = {}
        self._visit(Path(os.path.abspath(path)), None, (), done, modules, errors)
        inputs = Inputs({str(one) for one in (*done, *modules)})
        for one in done:
            inputs.add(self._read[one].inputs)
        return Closure(tuple(done.values()), tuple(modules), tuple(errors), inputs)

    def _visit(
        self,
        path: Path,
        asker: Scalar | None,
        chain: tuple[Path, ...],
        done: dict[Path, Source],
        modules: dict[Path, None],
        errors: list[DeployerError],
    ) -> None:
        place = asker.place if asker is not None else None
        if path in chain:
            names = " → ".join(part.name for part in (*chain[chain.index(path) :], path))
            errors.append(ImportFailed(path.name, f"the files import each other: {names}", place, "Remove one of the imports."))
        elif not path.is_file():
            siblings = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
            name = str(asker.value) if asker is not None else path.name
            near = did_you_mean(path.name, [*siblings, *self._module_names])
            errors.append(ImportFailed(name, f"there is no file {path}", place, near))
        elif path.suffix == ".py":
            modules[path] = None
        elif path not in done:
            try:
                loaded = self._load(path)
            except DeployerError as error:
                errors.append(error)
                return
            errors.extend(loaded.errors)
            for one in loaded.imports:
                self._visit(one.path, one.node, (*chain, path), done, modules, errors)
            done[path] = loaded.source

    def _load(self, path: Path) -> _Loaded:
        if path in self._read:
            return self._read[path]
        inputs = Inputs()
        with recorded(inputs):
            top = yaml_source.top_mapping(yaml_source.load(path), "a configuration")
            errors: list[DeployerError] = []
            imports: list[Import] = []
            definitions: dict[str, Definition] = {}
            for key, node in top.value.items():
                if key == IMPORTS:
                    imports.extend(self._imports(path, node, errors))
                else:
                    definitions[key] = definition_of(node, errors, top.place_of(key))
        self._read[path] = _Loaded(Source(path, definitions), tuple(imports), tuple(errors), inputs)
        return self._read[path]

    def _imports(self, path: Path, node: Node, errors: list[DeployerError]) -> Iterator[Import]:
        for item in node if isinstance(node, Sequence) else [node]:
            if not isinstance(item, Scalar) or not isinstance(item.value, str) or not item.value:
                reason = "an import is the path of a file or directory, or the name of a module"
                errors.append(ImportFailed(yaml_source.kind_of(item), reason, item.place))
                continue
            target = Path(os.path.normpath(path.parent / item.value))
            look_at(target)
            if target.is_dir():
                found = sorted(one for one in target.iterdir() if one.suffix in (".yaml", ".yml", ".py"))
                if not found:
                    errors.append(ImportFailed(item.value, f"there is no .yaml or .py file in {target}", item.place))
                yield from (Import(one, item) for one in found)
            elif re.fullmatch(r"[A-Za-z0-9_]+", item.value) and not target.exists():
                beside = path.parent / "modules" / f"{item.value}.py"
                look_at(beside)
                if beside.is_file() or item.value not in self._module_names:
                    yield Import(beside, item)
            else:
                yield Import(target, item)


def definition_of(node: Node, errors: list[DeployerError], key: Place | None = None) -> Definition:
    """A node as a definition, with the place of the key whose value it is."""
    priority, order = NORMAL, IN_ORDER
    if node.tag is not None:
        if node.tag not in TAGS:
            advice = did_you_mean(node.tag, TAGS) or f"Tags are {', '.join(TAGS)}."
            errors.append(YamlRefused(node.place, f"the tag {node.tag} has no meaning here", advice))
        priority = _PRIORITIES.get(node.tag, NORMAL)
        order = _ORDERS.get(node.tag, IN_ORDER)
    value: Any
    match node:
        case Mapping():
            value = {key: definition_of(item, errors, node.place_of(key)) for key, item in node.value.items()}
        case Sequence():
            value = [definition_of(item, errors) for item in node.value]
        case Scalar():
            value = node.value
    return Definition(value, node.place, priority, order, key=key)
