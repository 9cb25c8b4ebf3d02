"""Parameters of a configuration file: `${parameters.NAME}` in it stands for what the file that imports it gives.

They are put in place when the file is read, in values and in keys, as if they had been written there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deployer.config.errors import BadInterpolation, UnknownOption, did_you_mean
from deployer.config.interpolation import shown
from deployer.config.source_errors import ImportFailed
from deployer.errors import DeployerError, JsonValue, Place
from deployer.yaml_source import Mapping as MappingNode
from deployer.yaml_source import Node, Scalar, Sequence, YamlRefused, kind_of

KEY: Final = "parameters"
_PIECE: Final = re.compile(r"\$\$\{|\$\{\s*parameters(?:\.([^}\n]*?))?\s*\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WHAT: Final = ("description", "default")

SCHEMA: Final[dict[str, JsonValue]] = {
    "type": ["object", "null"],
    "description": "What a file that imports this one may give: read as ${parameters.NAME}, in values and in names.",
    "additionalProperties": {
        "type": ["object", "null"],
        "properties": {
            "description": {"type": "string", "description": "What it is for."},
            "default": {"description": "What it is where it is not given; without a default it must be given."},
        },
        "additionalProperties": False,
    },
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One that a file declares."""

    default: Node | None
    """None: it must be given."""
    place: Place


def declared(node: Node | None, errors: list[DeployerError]) -> dict[str, Parameter]:
    """The parameters that a file declares, by name; `node` is what it says of them."""
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return {}
    if not isinstance(node, MappingNode):
        reason = f"`{KEY}` is a mapping by name, and this is {kind_of(node)}"
        errors.append(YamlRefused(node.place, reason, "Write `NAME: {default: VALUE}`, or `NAME:` for one that must be given."))
        return {}
    made: dict[str, Parameter] = {}
    for name, item in node.value.items():
        place = node.place_of(name)
        fields = item.value if isinstance(item, MappingNode) else {}
        unknown = [key for key in fields if key not in _WHAT]
        if not _NAME.fullmatch(name):
            errors.append(YamlRefused(place, f"{name!r} can't be the name of a parameter", "Use letters, digits, _ and -."))
        elif not isinstance(item, MappingNode) and not (isinstance(item, Scalar) and item.value is None):
            reason = f"the parameter '{name}' is a mapping, and this is {kind_of(item)}"
            errors.append(YamlRefused(item.place, reason, f"Write `{name}: {{default: …}}`."))
        elif unknown and isinstance(item, MappingNode):
            known = tuple(f"{KEY}.{name}.{key}" for key in _WHAT)
            errors.append(UnknownOption(f"{KEY}.{name}.{unknown[0]}", item.place_of(unknown[0]), known, place))
        else:
            made[name] = Parameter(fields.get("default"), place)
    return made


def given(
    parameters: Mapping[str, Parameter], values: MappingNode | None, file: str, at: Place | None, errors: list[DeployerError]
) -> dict[str, Node]:
    """The value of every parameter: what an import gives, or its default. `at` is where the file is imported."""
    values = values or MappingNode({}, at or Place(file))
    for name in values.value:
        if name not in parameters:
            near = did_you_mean(name, parameters) or f"It has: {', '.join(parameters) or 'none'}."
            errors.append(ImportFailed(file, f"the file has no parameter '{name}'", values.place_of(name), near))
    made: dict[str, Node] = {}
    for name, parameter in parameters.items():
        value = values.value.get(name, parameter.default)
        if value is not None:
            made[name] = value
        else:
            remedy = f"Import the file by `path`, with `with: {{{name}: …}}`. It is declared at {parameter.place}."
            errors.append(ImportFailed(file, f"its parameter '{name}' is not given", at or parameter.place, remedy))
    return made


def put_in(node: Node, values: Mapping[str, Node], errors: list[DeployerError]) -> Node:
    """The node with every `${parameters.NAME}` replaced. A text that is one of them becomes the value, of whatever kind."""
    match node:
        case MappingNode():
            return _mapping(node, values, errors)
        case Sequence():
            return Sequence(tuple(put_in(item, values, errors) for item in node.value), node.place, node.tag)
        case Scalar(value=str() as text) if "${" in text:
            return _text(text, node, values, errors)
    return node


def _mapping(node: MappingNode, values: Mapping[str, Node], errors: list[DeployerError]) -> MappingNode:
    made: dict[str, Node] = {}
    places: dict[str, Place] = {}
    for key, item in node.value.items():
        place = node.place_of(key)
        name = _within(key, place, values, errors) if "${" in key else key
        if name in made:
            errors.append(YamlRefused(place, f"the key '{name}' stands twice", "Give the parameters different values."))
        made[name], places[name] = put_in(item, values, errors), place
    return MappingNode(made, node.place, node.tag, places)


def _text(text: str, node: Scalar, values: Mapping[str, Node], errors: list[DeployerError]) -> Node:
    whole = _PIECE.fullmatch(text)
    if whole is None or whole[0] == "$${":
        made = _within(text, node.place, values, errors)
        return node if made == text else Scalar(made, node.place, node.tag, made)
    found = _named(whole[1] or "", node.place, values, errors)
    if found is None or node.tag is None:
        return found or node
    match found:
        case MappingNode():
            return MappingNode(found.value, found.place, node.tag, found.key_places)
        case Sequence():
            return Sequence(found.value, found.place, node.tag)
    return Scalar(found.value, found.place, node.tag, found.text)


def _within(text: str, place: Place, values: Mapping[str, Node], errors: list[DeployerError]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return match[0]
        found = _named(match[1] or "", place, values, errors)
        if isinstance(found, Scalar):
            return shown(found.value)
        if found is not None:
            errors.append(BadInterpolation(match[0], f"{kind_of(found)} can't stand within a text", place))
        return match[0]

    return _PIECE.sub(replace, text)


def _named(path: str, place: Place, values: Mapping[str, Node], errors: list[DeployerError]) -> Node | None:
    name, *inner = path.split(".")
    found = values.get(name)
    if found is None:
        near = did_you_mean(name, values) or f"It has: {', '.join(values) or 'none'}."
        errors.append(BadInterpolation(f"{KEY}.{path}", f"this file has no parameter '{name}'", place, near))
        return None
    for key in inner:
        deeper = found.get(key) if isinstance(found, MappingNode) else None
        if deeper is None:
            errors.append(BadInterpolation(f"{KEY}.{path}", f"the parameter '{name}' has no '{key}'", place))
            return None
        found = deeper
    return found
