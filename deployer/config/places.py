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
    if path in definitions:
        return first_place(definitions[path])
    for at in [index for index, letter in enumerate(path) if letter == "."][::-1]:
        if path[:at] in definitions:
            rest = path[at + 1 :]
            while rest:
                for definition in definitions[path[:at]]:
                    found = _nested(definition, rest)
                    if found is not None:
                        return found.place
                rest = rest.rpartition(".")[0]
            return first_place(definitions[path[:at]])
    return None


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
