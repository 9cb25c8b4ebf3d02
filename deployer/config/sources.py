"""Configuration files: read once, with all that they import, as definitions of options."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deployer import yaml_source
from deployer.config import configuration_file
from deployer.config.configuration_file import ConfigurationFile, Import
from deployer.config.errors import did_you_mean
from deployer.config.inputs import Inputs, look_at, recorded
from deployer.config.source_errors import ImportFailed, NothingToDisable
from deployer.errors import DeployerError, Place
from deployer.yaml_source import Mapping, Node, Scalar, Sequence

_BARE: Final = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Closure:
    """A configuration file with all that it imports."""

    sources: tuple[ConfigurationFile, ...]
    """Imported ones first, each once; one with parameters once for each set of values."""
    modules: tuple[Path, ...]
    """Files of modules that are imported besides the library."""
    disabled: AbstractMapping[str, Place]
    """Modules of the library that are left out, and where that is said."""
    errors: tuple[DeployerError, ...]
    """What is wrong with the files themselves."""
    inputs: Inputs
    """What was looked at to find and read them."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A file that another imports."""

    path: Path
    asker: Import | None = None

    @property
    def key(self) -> str:
        """Tells two imports of one file apart where they give it different values."""
        if self.asker is None or self.asker.values is None:
            return str(self.path)
        return f"{self.path} {Path(self.asker.place.file).parent} {_canonical(self.asker.values)}"


@dataclass(slots=True)
class _Walk:
    """What a walk over files and their imports has found."""

    files: dict[str, ConfigurationFile] = field(default_factory=dict)
    modules: dict[Path, None] = field(default_factory=dict)
    errors: list[DeployerError] = field(default_factory=list)


class Sources:
    """Files that were read already; many hosts share them."""

    def __init__(self, module_names: Collection[str] = ()) -> None:
        """Nothing is read yet. Modules of these names are there without being imported."""
        self._module_names = module_names
        self._parsed: dict[Path, Mapping] = {}
        self._read: dict[str, ConfigurationFile] = {}

    def closure(self, path: Path) -> Closure:
        """A file and all that it imports, without what any of these files disables."""
        start = _Target(Path(os.path.abspath(path)))
        inputs = Inputs()
        with recorded(inputs):
            every = walk = _Walk()
            self._visit(start, (), frozenset(), walk)
            names, paths, wrong = self._disabled(walk.files.values())
            if paths:
                walk = _Walk()
                self._visit(start, (), paths, walk)
        inputs.paths.update(str(one) for one in (*(file.path for file in every.files.values()), *every.modules))
        return Closure(tuple(walk.files.values()), tuple(walk.modules), names, (*walk.errors, *wrong), inputs)

    def _visit(self, target: _Target, chain: tuple[Path, ...], without: frozenset[Path], walk: _Walk) -> None:
        path, asker = target.path, target.asker
        place = asker.place if asker is not None else None
        if path in without:
            return
        if path in chain:
            names = " → ".join(part.name for part in (*chain[chain.index(path) :], path))
            reason = f"the files import each other: {names}"
            walk.errors.append(ImportFailed(path.name, reason, place, "Remove one of the imports."))
        elif not path.is_file():
            siblings = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
            name = asker.name if asker is not None else path.name
            near = did_you_mean(path.name, [*siblings, *self._module_names])
            walk.errors.append(ImportFailed(name, f"there is no file {path}", place, near))
        elif path.suffix == ".py":
            if asker is not None and asker.values is not None:
                remedy = "Give its options values instead."
                walk.errors.append(ImportFailed(asker.name, "a module of Python has no parameters", place, remedy))
            walk.modules[path] = None
        elif target.key not in walk.files:
            try:
                file = self._load(target)
            except DeployerError as error:
                walk.errors.append(error)
                return
            walk.errors.extend(file.errors)
            for one in file.imports:
                for inner in self._targets(file.path, one, walk.errors):
                    self._visit(inner, (*chain, path), without, walk)
            walk.files[target.key] = file

    def _load(self, target: _Target) -> ConfigurationFile:
        if target.key not in self._read:
            path, asker = target.path, target.asker
            if path not in self._parsed:
                self._parsed[path] = yaml_source.top_mapping(yaml_source.load(path), "a configuration")
            values, at = (asker.values, asker.place) if asker is not None else (None, None)
            self._read[target.key] = configuration_file.read(path, self._parsed[path], values, at)
        return self._read[target.key]

    def _targets(self, path: Path, one: Import, errors: list[DeployerError]) -> Iterator[_Target]:
        target = Path(os.path.normpath(path.parent / one.name))
        look_at(target)
        if target.is_dir():
            found = sorted(file for file in target.iterdir() if file.suffix in (".yaml", ".yml", ".py"))
            if one.values is not None:
                errors.append(ImportFailed(one.name, "a directory has no parameters", one.place, "Name a file."))
            elif not found:
                errors.append(ImportFailed(one.name, f"there is no .yaml or .py file in {target}", one.place))
            yield from (_Target(file, one) for file in found)
        elif _BARE.fullmatch(one.name) and not target.exists():
            beside = path.parent / "modules" / f"{one.name}.py"
            look_at(beside)
            if beside.is_file() or one.name not in self._module_names:
                yield _Target(beside, one)
        else:
            yield _Target(target, one)

    def _disabled(self, files: Iterable[ConfigurationFile]) -> tuple[dict[str, Place], frozenset[Path], list[DeployerError]]:
        """The modules of the library that files disable, with the places; the files that they disable; and what is neither."""
        names: dict[str, Place] = {}
        paths: set[Path] = set()
        errors: list[DeployerError] = []
        for file in files:
            for node in file.disabled:
                name = str(node.value)
                path = Path(os.path.normpath(file.path.parent / name))
                look_at(path)
                if name in self._module_names:
                    names.setdefault(name, node.place)
                elif path.is_file():
                    paths.add(path)
                else:
                    errors.append(NothingToDisable(name, node.place, did_you_mean(name, self._module_names)))
        return names, frozenset(paths), errors


def _canonical(node: Node) -> str:
    """Equal for nodes that say the same."""
    return json.dumps(_said(node), sort_keys=True)


def _said(node: Node) -> list[object]:
    match node:
        case Mapping():
            return [node.tag, {key: _said(item) for key, item in node.value.items()}]
        case Sequence():
            return [node.tag, [_said(item) for item in node.value]]
        case Scalar():
            return [node.tag, node.value]
