"""Finding what a dotted path names, in values and in definitions. Names may hold dots themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deployer.config.definitions import Definition
from deployer.config.host_view import MISSING
from deployer.errors import Place


def beginnings(path: str) -> Iterator[str]:
    """A dotted path and what it begins with, the longest first."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def keys_of(value: Any, path: str) -> tuple[str, ...] | None:
    """The names that lead to what a dotted path means within a value; None where nothing is there."""
    if not path:
        return ()
    if not isinstance(value, Mapping):
        return None
    if path in value:
        return (path,)
    for at, letter in enumerate(path):
        if letter == "." and path[:at] in value:
            inner = keys_of(value[path[:at]], path[at + 1 :])
            if inner is not None:
                return (path[:at], *inner)
    return None


def below(value: Any, path: str) -> Any:
    """What is nested in a value; `MISSING` where there is nothing."""
    keys = keys_of(value, path)
    if keys is None:
        return MISSING
    for key in keys:
        value = value[key]
    return value


def place_of(definitions: Mapping[str, Sequence[Definition]], path: str) -> Place | None:
    """Where an option, or what is nested in it, is defined first; of what surrounds it where it is not."""
    found = definitions_of(definitions, path)
    return found[0].place if found else None


def place_of_name(definitions: Mapping[str, Sequence[Definition]], path: str) -> Place | None:
    """Where the name of an option, or of what is nested in it, stands first."""
    found = definitions_of(definitions, path)
    return found[0].named_at if found else None


def place_of_item(definitions: Mapping[str, Sequence[Definition]], path: str, item: Any) -> Place | None:
    """Where an item of a list stands; where the list does, if the item is not written there as it is."""
    found = definitions_of(definitions, path)
    items = (one for definition in found if isinstance(definition.value, list) for one in definition.value)
    return next((one.place for one in items if one.plain() == item), found[0].place if found else None)


def definitions_of(definitions: Mapping[str, Sequence[Definition]], path: str) -> list[Definition]:
    """All definitions of an option, or of what is nested in it; of what surrounds it where there are none."""
    if path in definitions:
        return [*definitions[path]]
    for at in [index for index, letter in enumerate(path) if letter == "."][::-1]:
        if path[:at] in definitions:
            rest = path[at + 1 :]
            while rest:
                found = [one for definition in definitions[path[:at]] if (one := _nested(definition, rest)) is not None]
                if found:
                    return found
                rest = rest.rpartition(".")[0]
            return [*definitions[path[:at]]]
    return []


def first_place(definitions: Sequence[Definition] | None) -> Place | None:
    """Where the first of them stands."""
    return definitions[0].place if definitions else None


def _nested(definition: Definition, path: str) -> Definition | None:
    if not path:
        return definition
    if not isinstance(definition.value, dict):
        return None
    if path in definition.value:
        return definition.value[path]  # type: ignore[no-any-return]
    for at, letter in enumerate(path):
        if letter == "." and path[:at] in definition.value:
            found = _nested(definition.value[path[:at]], path[at + 1 :])
            if found is not None:
                return found
    return None
