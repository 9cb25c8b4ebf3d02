"""Finding what a dotted path names, in values and in definitions. Names may hold dots themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deployer.config.definitions import Definition
from deployer.config.host_view import MISSING
from deployer.errors import Place


def below(value: Any, path: str) -> Any:
    """What is nested in a value; `MISSING` where there is nothing."""
    if not path:
        return value
    if isinstance(value, Mapping):
        if path in value:
            return value[path]
        for at, letter in enumerate(path):
            if letter == "." and path[:at] in value:
                found = below(value[path[:at]], path[at + 1 :])
                if found is not MISSING:
                    return found
    return MISSING


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
