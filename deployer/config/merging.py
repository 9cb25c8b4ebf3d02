"""What every option type leans on: which definitions hold, where a merge takes place, and what a type must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deployer.config.definitions import Definition, define, describe
from deployer.config.errors import Conflict, WrongType
from deployer.errors import DeployerError, JsonValue, Place

REFERENCE: Final[dict[str, JsonValue]] = {"type": "string", "pattern": r"^\$\{[^}]+\}$"}
"""In JSON Schema: a text that is one `${…}`, whose value may be of any type."""


class Nothing:
    """Stands for a value that could not be made; an error was noted."""


NOTHING: Final = Nothing()


@dataclass(slots=True)
class Scope:
    """Where a merge takes place: it resolves `${…}`, and collects errors so that all are told together."""

    resolve: Callable[[Definition, Callable[[DeployerError], None]], Any]
    errors: list[DeployerError] = field(default_factory=list)
    declared: Place | None = None
    packages: Callable[[], Collection[str]] = tuple
    """The names of all packages."""
    again: Callable[[OptionType, str, Sequence[Definition], Scope], Any] | None = None
    """Merges what stands under a name, or finds what another host had from the same definitions."""
    failed: bool = False
    """Whether something was wrong, perhaps in an option that this one refers to."""

    def value_of(self, definition: Definition) -> Any:
        """A definition's value with its `${…}` replaced; `NOTHING` where one means nothing."""
        value = self.resolve(definition, self.errors.append)
        self.failed = self.failed or value is NOTHING
        return value

    def note(self, error: DeployerError) -> None:
        """Keep an error."""
        self.errors.append(error)
        self.failed = True

    def wrong(self, option: str, expected: str, definition: Definition, value: Any = NOTHING, advice: str = "") -> None:
        """Note a value of the wrong type: `value`, or what the definition says."""
        found = describe(definition.plain() if value is NOTHING else value)
        self.note(WrongType(option, expected, found, definition.place, self.declared, advice))

    def merge(self, kind: OptionType, option: str, definitions: Sequence[Definition]) -> Any:
        """The value of all definitions together, as `OptionType.merge` has it."""
        return kind.merge(option, definitions, self) if self.again is None else self.again(kind, option, definitions, self)

    def trial(self) -> Scope:
        """The same place, with errors of its own."""
        return Scope(self.resolve, [], self.declared, self.packages)


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
            if value is not NOTHING:
                values.append((value, definition))
        if not values:
            return NOTHING
        first, definition = values[0]
        if any(value != first for value, _ in values):
            different(option, values, scope)
            return NOTHING
        return first

    def check(self, option: str, definition: Definition, scope: Scope) -> Any:
        """One definition's value, or `NOTHING`."""
        raise NotImplementedError

    def schema(self) -> dict[str, JsonValue]:
        """JSON Schema (2020-12) of what a YAML file may say."""
        raise NotImplementedError

    def part(
        self, option: str, definitions: Sequence[Definition], name: str, scope: Scope
    ) -> tuple[OptionType, list[Definition], Any] | None:
        """The type, definitions and default of what stands under a name within the value; None where nothing does."""
        return None


def resolved(definition: Definition, scope: Scope) -> Definition | None:
    """A definition whose text is no reference any more; None where the reference means nothing."""
    if definition.literal or not isinstance(definition.value, str) or "${" not in definition.value:
        return definition
    value = scope.value_of(definition)
    if value is NOTHING:
        return None
    made = define(value, definition.place)
    return Definition(made.value, definition.place, definition.priority, definition.order, True, definition.key)


def _rank(place: Place | None) -> tuple[bool, str, int, int]:
    """Users' files before modules, each from its top."""
    return (True, "", 0, 0) if place is None else (place.file.endswith(".py"), place.file, place.line, place.column)


def different(option: str, values: Sequence[tuple[Any, Definition]], scope: Scope) -> None:
    """Note that values of one option can't all hold. The message does not depend on the order in which files were read."""
    ordered = sorted(values, key=lambda one: (*_rank(one[1].place), describe(one[0])))
    places = [definition.place for _, definition in ordered]
    found = tuple(dict.fromkeys(describe(value) for value, _ in ordered))
    scope.note(Conflict(option, places[0], tuple(places[1:]), found, scope.declared))
