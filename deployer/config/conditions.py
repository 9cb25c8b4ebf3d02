"""Conditions: what `when` in a configuration file asks before its definitions count.

true, false or ${…}     as it says
[C, D]                  all of them, in order, until one does not hold
{not: C}  {all: [C, D]}  {any: [C, D]}
{equal: [V, W]}         whether values are the same
{contains: [LIST, V]}   whether a list has an item, a mapping a name, or a text a text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

from deployer.config.definitions import Definition, describe
from deployer.config.errors import did_you_mean
from deployer.config.source_errors import WrongCondition
from deployer.errors import DeployerError, JsonValue, Place
from deployer.records import Record
from deployer.yaml_source import Mapping as MappingNode
from deployer.yaml_source import Node, Scalar, Sequence, kind_of

Joining: TypeAlias = Literal["not", "all", "any"]
Comparing: TypeAlias = Literal["equal", "contains"]
ValueOf: TypeAlias = Callable[[Definition], Any]

_OPERATIONS: Final = (*get_args(Joining), *get_args(Comparing))


class Said(Record):
    """A value that is true or false."""

    value: Definition


class Joined(Record):
    """Conditions that are put together."""

    operation: Joining
    parts: tuple[Condition, ...]


class Compared(Record):
    """Two values that are compared."""

    operation: Comparing
    left: Definition
    right: Definition


Condition: TypeAlias = Said | Joined | Compared


def holds(condition: Condition, value_of: ValueOf) -> bool:
    """The answer; only what it takes is asked for. Raises `WrongCondition`, and what `value_of` raises."""
    match condition:
        case Said(definition):
            value = value_of(definition)
            if not isinstance(value, bool):
                raise WrongCondition(f"it is {describe(value)}, and neither true nor false", definition.place)
            return value
        case Joined("not", (part,)):
            return not holds(part, value_of)
        case Joined("any", parts):
            return any(holds(part, value_of) for part in parts)
        case Joined(_, parts):
            return all(holds(part, value_of) for part in parts)
        case Compared("equal", left, right):
            return _equal(value_of(left), value_of(right), right.place)
        case Compared(_, left, right):
            return _contains(value_of(left), value_of(right), left.place)
    raise AssertionError(condition)


def condition_of(node: Node, errors: list[DeployerError]) -> Condition | None:
    """A condition as it is written. Notes what it can't mean, and is None then."""
    if node.tag is not None:
        errors.append(WrongCondition(f"the tag {node.tag} has no meaning here", node.place, "Remove it."))
        return None
    match node:
        case Sequence():
            return _joined("all", node, errors)
        case Scalar(value=bool() | str()):
            return Said(Definition(node.value, node.place))
        case MappingNode() if len(node.value) == 1:
            ((operation, operand),) = node.value.items()
            match operation:
                case "not":
                    inner = condition_of(operand, errors)
                    return Joined("not", (inner,)) if inner is not None else None
                case "all" | "any":
                    return _joined(operation, operand, errors)
                case "equal" | "contains":
                    return _compared(operation, operand, errors)
            near = did_you_mean(operation, _OPERATIONS)
            errors.append(WrongCondition(f"'{operation}' is no condition", node.place_of(operation), near))
            return None
    errors.append(WrongCondition(f"it is {kind_of(node)}", node.place))
    return None


def _joined(operation: Joining, node: Node, errors: list[DeployerError]) -> Condition | None:
    if not isinstance(node, Sequence):
        errors.append(WrongCondition(f"'{operation}' takes a list of conditions, and this is {kind_of(node)}", node.place))
        return None
    parts = [condition_of(one, errors) for one in node]
    return Joined(operation, tuple(one for one in parts if one is not None)) if None not in parts else None


def _compared(operation: Comparing, node: Node, errors: list[DeployerError]) -> Condition | None:
    if not isinstance(node, Sequence) or len(node.value) != 2 or not all(isinstance(one, Scalar) for one in node):
        wanted = "two single values" if operation == "equal" else "a list and a value, such as [${host.groups}, web]"
        errors.append(WrongCondition(f"'{operation}' takes {wanted}", node.place))
        return None
    left, right = (Definition(one.value, one.place) for one in node)
    return Compared(operation, left, right)


def _equal(left: Any, right: Any, place: Place | None) -> bool:
    if left is None or right is None:
        return left is right
    if _kind(left) != _kind(right):
        reason = f"{describe(left)} and {describe(right)} are never equal"
        raise WrongCondition(reason, place, "Compare values of one kind: 80 is a number, and '80' is text.")
    return bool(left == right)


def _contains(whole: Any, part: Any, place: Place | None) -> bool:
    match whole:
        case str() if isinstance(part, str):
            return part in whole
        case Mapping():
            return isinstance(part, str) and part in whole
        case list():
            return any(_kind(one) == _kind(part) and one == part for one in whole)
    raise WrongCondition(f"{describe(whole)} contains nothing", place, "`contains` takes a list and a value.")


def _kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "What must hold: true, false, one ${…}, a list of conditions that all must hold, or not, all, any, equal, "
    "contains.",
    "anyOf": [
        {"type": "boolean"},
        {"type": "string", "pattern": r"^\$\{[^}]+\}$"},
        {"type": "array", "items": {"$ref": "#/$defs/condition"}},
        {
            "type": "object",
            "properties": {
                "not": {"$ref": "#/$defs/condition"},
                "all": {"type": "array", "items": {"$ref": "#/$defs/condition"}},
                "any": {"type": "array", "items": {"$ref": "#/$defs/condition"}},
                "equal": {"type": "array", "minItems": 2, "maxItems": 2},
                "contains": {"type": "array", "minItems": 2, "maxItems": 2},
            },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        },
    ],
}
