"""A definition: one value given to an option, with where it was given and how much it weighs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import isgenerator
from typing import TYPE_CHECKING, Any, Final

from deployer.errors import Place

if TYPE_CHECKING:
    from deployer.config.conditions import Condition

FORCE: Final = 50
NORMAL: Final = 100
DEFAULT: Final = 1000
OPTION_DEFAULT: Final = 1500
"""Priorities, as in the NixOS module system: of several definitions those with the lowest number hold."""

BEFORE: Final = 500
AFTER: Final = 1500
IN_ORDER: Final = 1000
"""Where a list's definition goes among the others."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A value whose nested values know their places too."""

    value: Any
    """A scalar, a `dict` of names to `Definition`, or a `list` of `Definition`."""
    place: Place | None
    priority: int = NORMAL
    order: int = IN_ORDER
    literal: bool = False
    """Whether `${` in it means nothing: values that modules compute are used as they are."""
    key: Place | None = None
    """Where the key stands whose value this is."""
    condition: Condition | None = None
    """What must hold for it to count."""

    @property
    def named_at(self) -> Place | None:
        """Where its name stands; its own place where there is none."""
        return self.key or self.place

    @property
    def described(self) -> str:
        """Its value in a few words, for messages."""
        return describe(self.plain())

    def plain(self) -> Any:
        """The value without places."""
        match self.value:
            case dict():
                return {name: item.plain() for name, item in self.value.items()}
            case list():
                return [item.plain() for item in self.value]
        return self.value

    def within(self, outer: Definition) -> Definition:
        """As a part of a group of options: under the group's condition, and with its marks where it has none of its own."""
        if (outer.priority, outer.order, outer.condition) == (NORMAL, IN_ORDER, None):
            return self
        return dataclasses.replace(
            self,
            priority=outer.priority if self.priority == NORMAL else self.priority,
            order=outer.order if self.order == IN_ORDER else self.order,
            condition=outer.condition,
        )


@dataclass(frozen=True, slots=True)
class Weight:
    """How much a value weighs against others, and where it goes among them; None: as if nothing were said."""

    priority: int | None = None
    order: int | None = None


@dataclass(frozen=True, slots=True)
class Weighted:
    """What a module of Python wraps a value in, to give it a priority or an order."""

    value: Any
    weight: Weight


class _Absent:
    """Stands for a value that does not hold."""


ABSENT: Final = _Absent()


def priority(number: int, value: Any) -> Any:
    """Give a value a priority of one's own: the lowest number holds."""
    return _weighted(value, Weight(priority=number))


def force(value: Any) -> Any:
    """Let a value hold against normal definitions."""
    return priority(FORCE, value)


def default(value: Any) -> Any:
    """Let a value hold only where there is no normal definition."""
    return priority(DEFAULT, value)


def order(number: int, value: Any) -> Any:
    """Put a list's items where the number says: those of lower numbers come first."""
    return _weighted(value, Weight(order=number))


def before(value: Any) -> Any:
    """Put a list's items before those of others."""
    return order(BEFORE, value)


def after(value: Any) -> Any:
    """Put a list's items after those of others."""
    return order(AFTER, value)


def when(condition: object, value: Any) -> Any:
    """The value where the condition holds, and no definition at all where it does not: as a whole, under a name, or in a list."""
    return value if condition else ABSENT


def _weighted(value: Any, weight: Weight) -> Any:
    return value if value is ABSENT else Weighted(value, weight)


def defined(value: Any, place: Place | None) -> list[Definition]:
    """The definitions that a module's function gives: one, none by `when`, or several where it yields them."""
    return [define(one, place) for one in (value if isgenerator(value) else [value]) if one is not ABSENT]


def define(value: Any, place: Place | None) -> Definition:
    """A definition from plain Python values, all at one place."""
    if isinstance(value, Weighted):
        inner, weight = define(value.value, place), value.weight
        return dataclasses.replace(
            inner,
            priority=inner.priority if weight.priority is None else weight.priority,
            order=inner.order if weight.order is None else weight.order,
        )
    if isinstance(value, Mapping):
        named = {str(name): define(item, place) for name, item in value.items() if item is not ABSENT}
        return Definition(named, place, literal=True)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return Definition([define(item, place) for item in value if item is not ABSENT], place, literal=True)
    return Definition(value, place, literal=True)


def describe(value: Any) -> str:
    """A value in a few words, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {value[:60]!r}{'…' if len(value) > 60 else ''}"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case int() | float():
            return f"the number {value}"
    return f"a Python {type(value).__name__}"
