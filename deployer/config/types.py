"""The types of options: what each accepts, how it merges several definitions, and what it looks like in JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deployer.config.definitions import Definition, describe
from deployer.config.errors import Conflict, MissingValue, UnknownOption, WrongType
from deployer.errors import DeployerError, JsonValue, Place


@dataclass(slots=True)
class Scope:
    """Where a merge takes place: it resolves `${…}`, and collects errors so that all are told together."""

    resolve: Callable[[Definition], Any]
    errors: list[DeployerError] = field(default_factory=list)
    declared: Place | None = None

    def wrong(self, option: str, expected: str, definition: Definition) -> None:
        """Note a value of the wrong type."""
        self.errors.append(WrongType(option, expected, describe(definition.plain()), definition.place, self.declared))


class _Nothing:
    """Stands for a value that could not be made; an error was noted."""


NOTHING: Final = _Nothing()


def strongest(definitions: Sequence[Definition]) -> list[Definition]:
    """Those of the lowest priority number, lists in their order."""
    best = min(definition.priority for definition in definitions)
    return sorted((one for one in definitions if one.priority == best), key=lambda one: one.order)


class OptionType:
    """What an option may hold."""

    description: str
    """Completes "must be …"."""

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """The value of all definitions together, or `NOTHING` where there are errors. Scalars must agree."""
        values: list[tuple[Any, Definition]] = []
        for definition in strongest(definitions):
            value = self.check(option, definition, scope)
            if not isinstance(value, _Nothing):
                values.append((value, definition))
        if not values:
            return NOTHING
        first, place = values[0][0], values[0][1].place
        if any(value != first for value, _ in values):
            others = tuple(one.place for _, one in values[1:])
            scope.errors.append(Conflict(option, place, others, tuple(describe(value) for value, _ in values)))
            return NOTHING
        return first

    def check(self, option: str, definition: Definition, scope: Scope) -> Any:
        """One definition's value, or `NOTHING`."""
        raise NotImplementedError

    def schema(self) -> dict[str, JsonValue]:
        """JSON Schema (2020-12) of what a YAML file may say."""
        raise NotImplementedError


@dataclass(frozen=True)
class Scalar(OptionType):
    """A single value that a predicate accepts."""

    description: str
    accepts: Callable[[Any], bool]
    json: Mapping[str, Any]
    convert: Callable[[Any], Any] = lambda value: value

    def check(self, option: str, definition: Definition, scope: Scope) -> Any:
        """The value itself."""
        value = scope.resolve(definition)
        if isinstance(value, _Nothing):
            return NOTHING
        if isinstance(definition.value, dict | list) or not self.accepts(value):
            scope.wrong(option, self.description, definition)
            return NOTHING
        return self.convert(value)

    def schema(self) -> dict[str, JsonValue]:
        """As given."""
        return dict(self.json)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def text(description: str = "text", *, pattern: str = "", empty: bool = True, lines: bool = True) -> Scalar:
    """Text; `lines` says whether it may have several lines."""
    compiled = re.compile(pattern) if pattern else None

    def accepts(value: Any) -> bool:
        if not isinstance(value, str) or "\0" in value or (not empty and not value) or (not lines and "\n" in value):
            return False
        return compiled is None or compiled.fullmatch(value) is not None

    json: dict[str, Any] = {"type": "string"}
    if pattern:
        json["pattern"] = f"^(?:{pattern})$|\\$\\{{"
    elif not empty:
        json["minLength"] = 1
    return Scalar(description, accepts, json)


def integer(low: int | None = None, high: int | None = None, description: str = "") -> Scalar:
    """A whole number, perhaps within bounds."""
    bounds = f" from {low} to {high}" if high is not None else f" of at least {low}" if low is not None else ""
    json: dict[str, Any] = {"type": "integer"}
    if low is not None:
        json["minimum"] = low
    if high is not None:
        json["maximum"] = high

    def accepts(value: Any) -> bool:
        return _is_int(value) and (low is None or value >= low) and (high is None or value <= high)

    return Scalar(description or f"a whole number{bounds}", accepts, json)


boolean: Final = Scalar("true or false", lambda value: isinstance(value, bool), {"type": "boolean"})
string: Final = text()
line: Final = text("one line of text", lines=False)
name: Final = text("a name (letters, digits, . _ -)", pattern=r"[A-Za-z0-9_][A-Za-z0-9._-]*")
port: Final = integer(1, 65535, "a port number (1 to 65535)")
mode: Final = text("a file mode in octal, such as '0644'", pattern="0?[0-7]{3,4}")
absolute_path: Final = text("an absolute path", pattern=r"/[^\n]*")
seconds: Final = Scalar(
    "a number of seconds, zero or more",
    lambda value: (_is_int(value) or isinstance(value, float)) and 0 <= value < 1e9,
    {"type": "number", "minimum": 0},
    float,
)
anything: Final = Scalar("any single value", lambda value: True, {})


def _written(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


setting: Final = Scalar(
    "text, a number, or true or false",
    lambda value: isinstance(value, str | int | float) and "\0" not in str(value),
    {"type": ["string", "number", "boolean"]},
    _written,
)
"""The value of a unit's directive or of a kernel's key; true and false become yes and no."""


def enumeration(*values: str) -> Scalar:
    """One of a few words."""
    shown = " or ".join(f"'{value}'" for value in values)
    return Scalar(f"one of {shown}" if len(values) > 2 else shown, lambda value: value in values, {"enum": [*values]})


@dataclass(frozen=True)
class NullOr(OptionType):
    """Null, or something."""

    inner: OptionType

    @property
    def description(self) -> str:  # type: ignore[override]
        """Both."""
        return f"null or {self.inner.description}"

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """Null where all say so."""
        given = [one for one in strongest(definitions) if one.value is not None]
        return self.inner.merge(option, given, scope) if given else None

    def schema(self) -> dict[str, JsonValue]:
        """Either."""
        return {"anyOf": [{"type": "null"}, self.inner.schema()]}


@dataclass(frozen=True)
class ListOf(OptionType):
    """A list; several definitions are joined."""

    inner: OptionType
    unique: bool = False

    @property
    def description(self) -> str:  # type: ignore[override]
        """Of what."""
        return f"a list of {self.inner.description}"

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """One after another, by order."""
        items: list[Any] = []
        for definition in strongest(definitions):
            whole = scope.resolve(definition) if isinstance(definition.value, str) else definition.value
            if isinstance(whole, _Nothing):
                continue
            if not isinstance(whole, list):
                scope.wrong(option, self.description, definition)
                continue
            for index, item in enumerate(whole):
                one = item if isinstance(item, Definition) else Definition(item, definition.place, literal=True)
                value = self.inner.merge(f"{option}[{index}]", [one], scope)
                if not isinstance(value, _Nothing) and not (self.unique and value in items):
                    items.append(value)
        return items

    def schema(self) -> dict[str, JsonValue]:
        """An array."""
        return {"type": "array", "items": self.inner.schema()}


@dataclass(frozen=True)
class OneOrMany(OptionType):
    """One value, or a list of them: what systemd writes as a directive, once or repeated."""

    inner: OptionType

    @property
    def description(self) -> str:  # type: ignore[override]
        """Either."""
        return f"{self.inner.description}, or a list of that"

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """Lists are joined; single values must agree."""
        if any(isinstance(one.value, list) for one in definitions):
            wrapped = [
                one if isinstance(one.value, list) else Definition([one], one.place, one.priority, one.order)
                for one in definitions
            ]
            return ListOf(self.inner).merge(option, wrapped, scope)
        return self.inner.merge(option, definitions, scope)

    def schema(self) -> dict[str, JsonValue]:
        """Either."""
        return {"anyOf": [self.inner.schema(), {"type": "array", "items": self.inner.schema()}]}


@dataclass(frozen=True)
class AttributesOf(OptionType):
    """Names to values of one type; merged name by name."""

    inner: OptionType
    key: Callable[[str], str] = lambda _name: ""
    """What is wrong with a name; empty: nothing."""

    @property
    def description(self) -> str:  # type: ignore[override]
        """Of what."""
        return f"a mapping of names to {self.inner.description}"

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """Each name by itself."""
        by_name = _by_name(option, definitions, scope, self.description)
        result: dict[str, Any] = {}
        for key, given in by_name.items():
            fault = self.key(key)
            if fault:
                scope.errors.append(WrongType(f"{option}.{key}", f"under a name that {fault}", "not", given[0].place))
                continue
            value = self.inner.merge(f"{option}.{key}", given, scope)
            if not isinstance(value, _Nothing):
                result[key] = value
        return result

    def schema(self) -> dict[str, JsonValue]:
        """An object."""
        return {"type": "object", "additionalProperties": self.inner.schema()}


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
        given = [Definition({}, one.place, one.priority) if one.value is None else one for one in definitions]
        by_name = _by_name(option, given, scope, self.kind)
        result: dict[str, Any] = {}
        for key, one in self.fields.items():
            found = by_name.pop(key, [])
            if not found and isinstance(one.default, _Nothing):
                scope.errors.append(MissingValue(f"{option}.{key}", given[0].place, scope.declared))
            value = one.type.merge(f"{option}.{key}", found, scope) if found else one.default
            if not isinstance(value, _Nothing):
                result[key] = value
        for key, found in by_name.items():
            if self.open is None:
                scope.errors.append(UnknownOption(f"{option}.{key}", found[0].place, tuple(f"{option}.{k}" for k in self.fields)))
            else:
                value = self.open.merge(f"{option}.{key}", found, scope)
                if not isinstance(value, _Nothing):
                    result[key] = value
        return result

    def schema(self) -> dict[str, JsonValue]:
        """An object with properties."""
        properties: dict[str, JsonValue] = {}
        for key, one in self.fields.items():
            properties[key] = {**one.type.schema(), "description": one.description}
        rest: JsonValue = False if self.open is None else self.open.schema()
        return {"type": ["object", "null"], "properties": properties, "additionalProperties": rest}


def _by_name(option: str, definitions: Iterable[Definition], scope: Scope, expected: str) -> dict[str, list[Definition]]:
    """The nested definitions of each name. A definition that is not a mapping is noted as wrong."""
    by_name: dict[str, list[Definition]] = {}
    given = list(definitions)
    whole = [one for one in given if isinstance(one.value, str) and "${" in one.value and not one.literal]
    for one in given:
        definition = one
        if one in whole:
            resolved = scope.resolve(one)
            if isinstance(resolved, dict):
                from deployer.config.definitions import define

                definition = define(resolved, one.place)
        if not isinstance(definition.value, dict):
            scope.wrong(option, expected, definition)
            continue
        for key, nested in definition.value.items():
            by_name.setdefault(key, []).append(nested.within(definition.priority))
    return by_name


def list_of(inner: OptionType) -> ListOf:
    """A list."""
    return ListOf(inner)


def attributes_of(inner: OptionType, key: Callable[[str], str] | None = None) -> AttributesOf:
    """Names to values; `key` says what is wrong with a name."""
    return AttributesOf(inner, key) if key else AttributesOf(inner)


def null_or(inner: OptionType) -> NullOr:
    """Null, or something."""
    return NullOr(inner)


def submodule(kind: str, /, **fields: Field) -> Submodule:
    """A fixed set of named values."""
    return Submodule(fields, kind)
