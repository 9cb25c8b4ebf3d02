"""Configuration files: read once, with all that they import, as definitions of options."""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deployer import yaml_source
from deployer.config.definitions import AFTER, BEFORE, DEFAULT, FORCE, IN_ORDER, NORMAL, Definition
from deployer.config.errors import ImportFailed, did_you_mean
from deployer.errors import DeployerError, raise_all
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


class Sources:
    """Files that were read already; many hosts share them."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self._read: dict[Path, tuple[Source, tuple[tuple[Path, Node], ...]]] = {}

    def closure(self, path: Path) -> tuple[Source, ...]:
        """A file and all that it imports, imported ones first, each once. Raises all errors of all files together."""
        errors: list[DeployerError] = []
        done: dict[Path, Source] = {}
        self._visit(path.absolute(), None, (), done, errors)
        raise_all(errors)
        return tuple(done.values())

    def _visit(
        self, path: Path, asker: Node | None, chain: tuple[Path, ...], done: dict[Path, Source], errors: list[DeployerError]
    ) -> None:
        if path in chain:
            names = " → ".join(part.name for part in (*chain[chain.index(path) :], path))
            place = asker.place if asker is not None else None
            errors.append(ImportFailed(path.name, f"the files import each other: {names}", place, "Remove one of the imports."))
            return
        if path in done:
            return
        try:
            source, imports = self._load(path, asker)
        except DeployerError as error:
            errors.append(error)
            return
        for imported, node in imports:
            self._visit(imported, node, (*chain, path), done, errors)
        done[path] = source

    def _load(self, path: Path, asker: Node | None) -> tuple[Source, tuple[tuple[Path, Node], ...]]:
        if path in self._read:
            return self._read[path]
        if not path.is_file():
            place = asker.place if asker is not None else None
            siblings = [one.name for one in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
            raise ImportFailed(path.name, f"there is no file {path}", place, did_you_mean(path.name, siblings))
        top = yaml_source.top_mapping(yaml_source.load(path), "a configuration")
        errors: list[DeployerError] = []
        imports: list[tuple[Path, Node]] = []
        definitions: dict[str, Definition] = {}
        for key, node in top.value.items():
            if key == IMPORTS:
                imports.extend(_imports(path, node, errors))
            else:
                definitions[key] = definition_of(node, path.parent, errors)
        raise_all(errors)
        self._read[path] = Source(path, definitions), tuple(imports)
        return self._read[path]


def definition_of(node: Node, directory: Path, errors: list[DeployerError]) -> Definition:
    """A node as a definition. `source:` values become absolute: they are relative to the file that says them."""
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
            value = {key: definition_of(item, directory, errors) for key, item in node.value.items()}
            source = node.value.get("source")
            if isinstance(source, Scalar) and isinstance(source.value, str) and not source.value.startswith(("/", "${")):
                value["source"] = Definition(str(directory / source.value), source.place, value["source"].priority)
        case Sequence():
            value = [definition_of(item, directory, errors) for item in node.value]
        case Scalar():
            value = node.value
    return Definition(value, node.place, priority, order)


def _imports(path: Path, node: Node, errors: list[DeployerError]) -> list[tuple[Path, Node]]:
    items = [*node.value] if isinstance(node, Sequence) else [node]
    found: list[tuple[Path, Node]] = []
    for item in items:
        if isinstance(item, Scalar) and isinstance(item.value, str) and item.value:
            target = path.parent / item.value
            if target.is_dir():
                found.extend((one, item) for one in sorted(target.glob("*.yaml")))
            else:
                found.append((_normal(target), item))
        else:
            errors.append(
                ImportFailed(str(yaml_source.kind_of(item)), "an import is the path of a file or directory", item.place)
            )
    return found


def _normal(path: Path) -> Path:
    return Path(str(path.absolute())).resolve() if path.exists() else path.absolute()
