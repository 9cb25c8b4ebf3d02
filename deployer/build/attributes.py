"""What a derivation says of itself beside its environment: lists and flags, structured or not (Nix: parsed-derivations.cc)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast

from deployer.build.errors import AttributeRefused
from deployer.formats import Derivation

STRUCTURED: Final = "__json"
"""The variable that holds the attributes of a derivation with `__structuredAttrs`."""


@dataclass(frozen=True)
class Attributes:
    """Reads the attributes of one derivation."""

    derivation: Derivation
    shown: str
    """For errors: the derivation's path."""

    @cached_property
    def structured(self) -> Mapping[str, Any] | None:
        """All of them, where they are structured. Raises `AttributeRefused`."""
        text = self.derivation.environment.get(STRUCTURED)
        if text is None:
            return None
        try:
            document = json.loads(text)
        except ValueError as error:
            raise AttributeRefused(self.shown, STRUCTURED, f"is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise AttributeRefused(self.shown, STRUCTURED, "is not an object")
        return cast("Mapping[str, Any]", document)

    def text(self, name: str) -> str:
        """A text; empty where there is none."""
        if self.structured is None:
            return self.derivation.environment.get(name, "")
        value = self.structured.get(name, "")
        if not isinstance(value, str):
            raise AttributeRefused(self.shown, name, "must be a string")
        return value

    def strings(self, name: str) -> tuple[str, ...] | None:
        """A list of texts; None where there is none."""
        if self.structured is None:
            text = self.derivation.environment.get(name)
            return None if text is None else tuple(text.split())
        value = self.structured.get(name)
        return None if value is None else strings_of(value, self.shown, name)

    def flag(self, name: str) -> bool:
        """Whether something is asked for."""
        if self.structured is None:
            return self.derivation.environment.get(name, "") == "1"
        value = self.structured.get(name, False)
        if not isinstance(value, bool):
            raise AttributeRefused(self.shown, name, "must be true or false")
        return value


def strings_of(value: object, shown: str, name: str) -> tuple[str, ...]:
    """A list of strings out of JSON. Raises `AttributeRefused`."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise AttributeRefused(shown, name, "must be a list of strings")
    return tuple(value)
