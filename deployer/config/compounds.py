"""Types that are made of others: null or something, lists, one of several, anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployer.config.definitions import Definition
from deployer.config.mappings import AttributesOf
from deployer.config.merging import NOTHING, REFERENCE, OptionType, Scope, different, resolved, strongest
from deployer.errors import JsonValue


@dataclass(frozen=True)
class NullOr(OptionType):
    """Null, or something."""

    inner: OptionType

    @property
    def description(self) -> str:  # type: ignore[override]
        """Both."""
        return f"null or {self.inner.description}"

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """Null where all say so. Null and something is a conflict."""
        given = [(one, _is_null(one, scope)) for one in strongest(definitions)]
        if all(null for _, null in given):
            return None
        if any(null for _, null in given):
            different(option, [(None if null else one.plain(), one) for one, null in given], scope)
            return NOTHING
        return self.inner.merge(option, [one for one, _ in given], scope)

    def part(
        self, option: str, definitions: Sequence[Definition], name: str, scope: Scope
    ) -> tuple[OptionType, list[Definition], Any] | None:
        """As of what is not null."""
        return self.inner.part(option, definitions, name, scope)

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
        return f"a list, each item {self.inner.description}"

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """One after another, by order."""
        items: list[Any] = []
        for definition in strongest(definitions):
            whole = resolved(definition, scope)
            if whole is None:
                continue
            if not isinstance(whole.value, list):
                scope.wrong(option, self.description, whole)
                continue
            for index, one in enumerate(whole.value):
                value = self.inner.merge(f"{option}[{index}]", [one], scope)
                if value is not NOTHING and not (self.unique and value in items):
                    items.append(value)
        return items

    def schema(self) -> dict[str, JsonValue]:
        """An array."""
        return {"anyOf": [{"type": "array", "items": self.inner.schema()}, dict(REFERENCE)]}


@dataclass(frozen=True)
class OneOrMany(OptionType):
    """One value, or a list of them: what systemd writes as a directive, once or repeated."""

    inner: OptionType

    @property
    def description(self) -> str:  # type: ignore[override]
        """Either."""
        return f"{self.inner.description}, or a list of that"

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """Lists are joined, and single values with them; single values alone must agree."""
        given = [one for one in (resolved(one, scope) for one in strongest(definitions)) if one is not None]
        if any(isinstance(one.value, list) for one in given):
            wrapped = [
                one if isinstance(one.value, list) else Definition([one], one.place, one.priority, one.order) for one in given
            ]
            return ListOf(self.inner).merge(option, wrapped, scope)
        return self.inner.merge(option, given, scope) if given else NOTHING

    def schema(self) -> dict[str, JsonValue]:
        """Either."""
        return {"anyOf": [self.inner.schema(), {"type": "array", "items": self.inner.schema()}]}


@dataclass(frozen=True)
class OneOf(OptionType):
    """Of several types the first that accepts the value."""

    members: tuple[OptionType, ...]

    @property
    def description(self) -> str:  # type: ignore[override]
        """All of them."""
        return ", or ".join(member.description for member in self.members)

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """As the first type that accepts every definition merges them."""
        given = strongest(definitions)
        for member in self.members:
            if all(_accepts(member, option, one, scope) for one in given):
                return member.merge(option, given, scope)
        for one in given:
            trials = [_tried(member, option, one, scope) for member in self.members]
            if all(trial.errors for trial in trials):
                scope.wrong(option, self.description, one)
            elif any(trial.failed and not trial.errors for trial in trials):
                scope.failed = True
        if not scope.failed:
            different(option, [(one.plain(), one) for one in given], scope)
        return NOTHING

    def schema(self) -> dict[str, JsonValue]:
        """Any of them."""
        return {"anyOf": [member.schema() for member in self.members]}


@dataclass(frozen=True)
class Anything(OptionType):
    """Whatever YAML can say. Mappings are merged by key, lists joined, all else must agree."""

    description: str = "anything"

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """By the kind of value."""
        given = [one for one in (resolved(one, scope) for one in strongest(definitions)) if one is not None]
        if not given:
            return NOTHING
        if all(isinstance(one.value, dict) for one in given):
            return AttributesOf(self).merge(option, given, scope)
        if all(isinstance(one.value, list) for one in given):
            return ListOf(self).merge(option, given, scope)
        return super().merge(option, given, scope)

    def check(self, option: str, definition: Definition, scope: Scope) -> Any:
        """The value."""
        return definition.plain()

    def part(
        self, option: str, definitions: Sequence[Definition], name: str, scope: Scope
    ) -> tuple[OptionType, list[Definition], Any] | None:
        """One name's."""
        return AttributesOf(self).part(option, definitions, name, scope)

    def schema(self) -> dict[str, JsonValue]:
        """No bounds."""
        return {}


def _tried(member: OptionType, option: str, definition: Definition, scope: Scope) -> Scope:
    trial = scope.trial()
    member.merge(option, [definition], trial)
    return trial


def _accepts(member: OptionType, option: str, definition: Definition, scope: Scope) -> bool:
    trial = _tried(member, option, definition, scope)
    return not trial.errors and not trial.failed


def _is_null(definition: Definition, scope: Scope) -> bool:
    """Whether a definition says null. What can't be resolved is left to the inner type, which notes why."""
    if definition.literal or not isinstance(definition.value, str) or not definition.value.startswith("${"):
        return definition.value is None
    trial = scope.trial()
    return trial.value_of(definition) is None
