"""What one configuration file says: definitions, conditional ones, what it imports, and what it leaves out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deployer.config import conditions, parameters
from deployer.config.conditions import Condition, Joined
from deployer.config.definitions import IN_ORDER, NORMAL, Definition, Weight
from deployer.config.errors import UnknownOption
from deployer.config.source_errors import ImportFailed
from deployer.config.tags import weight_of
from deployer.errors import DeployerError, Place
from deployer.yaml_source import Mapping as MappingNode
from deployer.yaml_source import Node, Scalar, Sequence, YamlRefused, kind_of

IMPORTS: Final = "imports"
DISABLED: Final = "disabled_modules"
WHEN: Final = "when"
HEADS: Final = (parameters.KEY, IMPORTS, DISABLED, WHEN)
"""Keys of a file that are no options."""
_BLOCK: Final = ("if", "then", "else")
_IMPORT: Final = ("path", "with")


@dataclass(frozen=True, slots=True)
class Import:
    """What `imports` asks for: a path or a name, and values for the file's parameters."""

    name: str
    place: Place
    values: MappingNode | None = None


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """One file, with its parameters in place."""

    path: Path
    definitions: tuple[tuple[str, Definition], ...] = ()
    """By top-level key; one may occur several times, under several conditions."""
    imports: tuple[Import, ...] = ()
    disabled: tuple[Scalar, ...] = ()
    errors: tuple[DeployerError, ...] = ()


def read(path: Path, top: MappingNode, values: MappingNode | None, at: Place | None) -> ConfigurationFile:
    """What a parsed file says, with these values for its parameters. `at` is where it is imported."""
    errors: list[DeployerError] = []
    body = top
    declared = parameters.declared(top.get(parameters.KEY), errors)
    if declared or values is not None:
        given = parameters.given(declared, values, path.name, at, errors)
        if errors:
            return ConfigurationFile(path, errors=tuple(errors))
        rest = {key: node for key, node in top.value.items() if key != parameters.KEY}
        replaced = parameters.put_in(dataclasses.replace(top, value=rest), given, errors)
        assert isinstance(replaced, MappingNode)
        body = replaced
    return ConfigurationFile(
        path,
        tuple(_definitions(body, None, errors)),
        tuple(_imports(body.get(IMPORTS), errors)),
        tuple(_disabled(body.get(DISABLED), errors)),
        tuple(errors),
    )


def _definitions(body: MappingNode, condition: Condition | None, errors: list[DeployerError]) -> Iterator[tuple[str, Definition]]:
    """What stands in the body, and then what its `when` adds."""
    for key, node in body.value.items():
        if key not in HEADS:
            definition = definition_of(node, errors, body.place_of(key))
            yield key, definition if condition is None else dataclasses.replace(definition, condition=condition)
    if WHEN in body.value:
        node = body.value[WHEN]
        for block in node if isinstance(node, Sequence) else [node]:
            yield from _conditional(block, condition, errors)


def _conditional(block: Node, outer: Condition | None, errors: list[DeployerError]) -> Iterator[tuple[str, Definition]]:
    if not isinstance(block, MappingNode) or "if" not in block.value or not block.value.keys() & {"then", "else"}:
        reason = f"`{WHEN}` is a list of mappings with `if` and `then`, and this is {kind_of(block)}"
        if isinstance(block, MappingNode):
            reason = f"this part of `{WHEN}` lacks `{'if' if 'if' not in block.value else 'then'}`"
        errors.append(YamlRefused(block.place, reason, "Write `- if: CONDITION`, and below it `then:` with options."))
        return
    for key in block.value:
        if key not in _BLOCK:
            known = tuple(f"{WHEN}.{one}" for one in _BLOCK)
            errors.append(UnknownOption(f"{WHEN}.{key}", block.place_of(key), known, block.place))
    asked = conditions.condition_of(block.value["if"], errors)
    if asked is None:
        return
    for key, condition in (("then", asked), ("else", Joined("not", (asked,)))):
        body = block.get(key)
        if body is None:
            continue
        if not isinstance(body, MappingNode):
            reason = f"`{key}` is a mapping of options, and this is {kind_of(body)}"
            errors.append(YamlRefused(body.place, reason, f"Write options below `{key}`, as at the top of a file."))
            continue
        for head in (one for one in HEADS if one != WHEN and one in body.value):
            reason = f"`{head}` can't depend on a condition"
            errors.append(YamlRefused(body.place_of(head), reason, "Put it at the top of the file."))
        yield from _definitions(body, condition if outer is None else Joined("all", (outer, condition)), errors)


def _imports(node: Node | None, errors: list[DeployerError]) -> Iterator[Import]:
    for item in _items(node):
        match item:
            case Scalar(value=str() as name) if name:
                yield Import(name, item.place)
            case MappingNode() if "path" in item.value:
                name_node, values = item.value["path"], item.get("with")
                for key in (one for one in item.value if one not in _IMPORT):
                    known = tuple(f"{IMPORTS}.{one}" for one in _IMPORT)
                    errors.append(UnknownOption(f"{IMPORTS}.{key}", item.place_of(key), known, item.place))
                if not isinstance(name_node, Scalar) or not isinstance(name_node.value, str) or not name_node.value:
                    errors.append(ImportFailed(kind_of(name_node), "`path` is the path of a file", name_node.place))
                elif values is not None and not isinstance(values, MappingNode):
                    reason = f"`with` is a mapping of parameters, and this is {kind_of(values)}"
                    errors.append(ImportFailed(name_node.value, reason, values.place))
                else:
                    yield Import(name_node.value, name_node.place, values if values is not None and values.value else None)
            case _:
                reason = "an import is the path of a file or directory, or the name of a module"
                errors.append(ImportFailed(kind_of(item), reason, item.place))


def _disabled(node: Node | None, errors: list[DeployerError]) -> Iterator[Scalar]:
    for item in _items(node):
        if isinstance(item, Scalar) and isinstance(item.value, str) and item.value:
            yield item
        else:
            reason = f"`{DISABLED}` has names of modules and paths of files, and this is {kind_of(item)}"
            errors.append(YamlRefused(item.place, reason, "Write `[NAME]`."))


def _items(node: Node | None) -> tuple[Node, ...]:
    if node is None:
        return ()
    return node.value if isinstance(node, Sequence) else (node,)


def definition_of(node: Node, errors: list[DeployerError], key: Place | None = None) -> Definition:
    """A node as a definition, with the place of the key whose value it is."""
    weight = Weight() if node.tag is None else weight_of(node.tag, node.place, errors)
    value: Any
    match node:
        case MappingNode():
            value = {name: definition_of(item, errors, node.place_of(name)) for name, item in node.value.items()}
        case Sequence():
            value = [_item(item, errors) for item in node.value]
        case Scalar():
            value = node.value
    priority = NORMAL if weight.priority is None else weight.priority
    return Definition(value, node.place, priority, IN_ORDER if weight.order is None else weight.order, key=key)


def _item(node: Node, errors: list[DeployerError]) -> Definition:
    if node.tag is not None:
        reason = f"the tag {node.tag} has no meaning on an item of a list"
        errors.append(YamlRefused(node.place, reason, "Mark the list; items of one list keep their order."))
        node = dataclasses.replace(node, tag=None)
    return definition_of(node, errors)


SCHEMA: Final[Mapping[str, Any]] = {
    IMPORTS: {
        "description": "Files, directories and modules that this file builds on.",
        "anyOf": [{"$ref": "#/$defs/import"}, {"type": "array", "items": {"$ref": "#/$defs/import"}}],
    },
    DISABLED: {
        "description": "Modules of the library, and files, that are left out although something imports them.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    },
    WHEN: {
        "description": "Options that count only under a condition.",
        "anyOf": [{"$ref": "#/$defs/conditional"}, {"type": "array", "items": {"$ref": "#/$defs/conditional"}}],
    },
    parameters.KEY: parameters.SCHEMA,
}
"""Of each of `HEADS`."""

_BODY: Final = {
    "allOf": [{"$ref": "#"}, {"not": {"anyOf": [{"required": [head]} for head in HEADS if head != WHEN]}}],
}
SCHEMA_DEFINITIONS: Final[Mapping[str, Any]] = {
    "condition": conditions.SCHEMA,
    "conditional": {
        "type": "object",
        "required": ["if"],
        "anyOf": [{"required": ["then"]}, {"required": ["else"]}],
        "properties": {
            "if": {"$ref": "#/$defs/condition"},
            "then": {**_BODY, "description": "Options where the condition holds."},
            "else": {**_BODY, "description": "Options where it does not."},
        },
        "additionalProperties": False,
    },
    "import": {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "required": ["path"],
                "properties": {
                    "path": {"type": "string", "description": "A configuration file with parameters."},
                    "with": {"type": "object", "description": "A value for each of its parameters, by name."},
                },
                "additionalProperties": False,
            },
        ]
    },
}
