"""Types of mappings: names to values of one type, and fixed sets of named values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployer.config.definitions import Definition
from deployer.config.errors import BadName, MissingValue, UnknownOption
from deployer.config.merging import NOTHING, REFERENCE, OptionType, Scope, resolved, strongest
from deployer.errors import JsonValue


@dataclass(frozen=True)
class AttributesOf(OptionType):
    """Names to values of one type; merged name by name."""

    inner: OptionType
    key: Callable[[str], str] = lambda _name: ""
    """What is wrong with a name; empty: nothing."""

    @property
    def description(self) -> str:  # type: ignore[override]
        """Of what."""
        return f"a mapping by name, each value {self.inner.description}"

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """Each name by itself."""
        by_name = _by_name(option, definitions, scope, self.description)
        result: dict[str, Any] = {}
        for key, given in by_name.items():
            fault = self.key(key)
            if fault:
                scope.note(BadName(option, key, fault, given[0].named_at, scope.declared))
                continue
            value = scope.merge(self.inner, f"{option}.{key}", given)
            if value is not NOTHING:
                result[key] = value
        return result

    def part(
        self, option: str, definitions: Sequence[Definition], name: str, scope: Scope
    ) -> tuple[OptionType, list[Definition], Any] | None:
        """One name's."""
        given = _by_name(option, definitions, scope, self.description).get(name)
        return (self.inner, given, NOTHING) if given else None

    def schema(self) -> dict[str, JsonValue]:
        """An object."""
        return {"anyOf": [{"type": "object", "additionalProperties": self.inner.schema()}, dict(REFERENCE)]}


@dataclass(frozen=True)
class Field:
    """One option of a submodule."""

    type: OptionType
    description: str
    default: Any = NOTHING
    example: Any = None


@dataclass(frozen=True)
class Submodule(OptionType):
    """A fixed set of named values, each with its type; `open` allows others, taken as they are."""

    fields: Mapping[str, Field]
    kind: str = "a mapping"
    open: OptionType | None = None

    @property
    def description(self) -> str:  # type: ignore[override]
        """What it is."""
        return self.kind

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """Each field by itself; what nothing defines has its default."""
        given = [Definition({}, one.place, one.priority, key=one.key) if one.value is None else one for one in definitions]
        by_name = _by_name(option, given, scope, self.kind)
        result: dict[str, Any] = {}
        for key, one in self.fields.items():
            found = by_name.pop(key, [])
            if not found and one.default is NOTHING:
                scope.note(MissingValue(f"{option}.{key}", given[0].named_at, scope.declared))
            value = one.type.merge(f"{option}.{key}", found, scope) if found else copy.deepcopy(one.default)
            if value is not NOTHING:
                result[key] = value
        for key, found in by_name.items():
            if self.open is None:
                known = tuple(f"{option}.{field}" for field in self.fields)
                scope.note(UnknownOption(f"{option}.{key}", found[0].named_at, known, scope.declared))
            else:
                value = self.open.merge(f"{option}.{key}", found, scope)
                if value is not NOTHING:
                    result[key] = value
        return result

    def part(
        self, option: str, definitions: Sequence[Definition], name: str, scope: Scope
    ) -> tuple[OptionType, list[Definition], Any] | None:
        """One field's."""
        given = _by_name(option, [one for one in definitions if one.value is not None], scope, self.kind).get(name, [])
        field = self.fields.get(name)
        if field is not None:
            return field.type, given, field.default
        return (self.open, given, NOTHING) if self.open is not None and given else None

    def schema(self) -> dict[str, JsonValue]:
        """An object with properties."""
        properties: dict[str, JsonValue] = {}
        for key, one in self.fields.items():
            properties[key] = {**one.type.schema(), "description": one.description}
            if one.default is not NOTHING:
                properties[key]["default"] = one.default  # type: ignore[call-overload, index]
            if one.example is not None:
                properties[key]["examples"] = [one.example]  # type: ignore[call-overload, index]
        rest: JsonValue = False if self.open is None else self.open.schema()
        own: dict[str, JsonValue] = {"type": ["object", "null"], "properties": properties, "additionalProperties": rest}
        return {"anyOf": [own, dict(REFERENCE)]}


def _by_name(option: str, definitions: Iterable[Definition], scope: Scope, expected: str) -> dict[str, list[Definition]]:
    """The nested definitions of each name, of those that hold. A definition that is not a mapping is noted as wrong."""
    by_name: dict[str, list[Definition]] = {}
    given = [*definitions]
    for one in strongest(given) if given else ():
        definition = resolved(one, scope)
        if definition is None:
            continue
        if not isinstance(definition.value, dict):
            scope.wrong(option, expected, definition)
            continue
        for key, nested in definition.value.items():
            by_name.setdefault(key, []).append(nested)
    return by_name
