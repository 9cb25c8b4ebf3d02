"""A definition: one value given to an option, with where it was given and how much it weighs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deployer.errors import Place

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

    def within(self, priority: int) -> Definition:
        """As a part of a definition of some priority: its own holds where it has one."""
        return dataclasses.replace(self, priority=priority) if self.priority == NORMAL else self


@dataclass(frozen=True, slots=True)
class Weighted:
    """What a module of Python wraps a value in, to give it a priority or an order."""

    value: Any
    priority: int = NORMAL
    order: int = IN_ORDER


def force(value: Any) -> Weighted:
    """Let a value hold against normal definitions."""
    return Weighted(value, priority=FORCE)


def default(value: Any) -> Weighted:
    """Let a value hold only where there is no normal definition."""
    return Weighted(value, priority=DEFAULT)


def before(value: Any) -> Weighted:
    """Put a list's items before those of others."""
    return Weighted(value, order=BEFORE)


def after(value: Any) -> Weighted:
    """Put a list's items after those of others."""
    return Weighted(value, order=AFTER)


def define(value: Any, place: Place | None) -> Definition:
    """A definition from plain Python values, all at one place."""
    if isinstance(value, Weighted):
        inner = define(value.value, place)
        return dataclasses.replace(inner, priority=value.priority, order=value.order)
    if isinstance(value, Mapping):
        return Definition({str(name): define(item, place) for name, item in value.items()}, place, literal=True)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return Definition([define(item, place) for item in value], place, literal=True)
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
