"""Types of texts of which several definitions are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from deployer.config.definitions import Definition
from deployer.config.merging import NOTHING, OptionType, Scope, strongest
from deployer.config.scalars import string
from deployer.errors import JsonValue

NEWLINE: Final = "\n"


@dataclass(frozen=True)
class JoinedText(OptionType):
    """Text; several definitions are joined, with a separator between those that are not empty."""

    separator: str
    description: str

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """One after another, by order. A line that ends already needs no other end."""
        found = [string.check(option, one, scope) for one in strongest(definitions)]
        parts = [part for part in found if part is not NOTHING and part]
        if all(part is NOTHING for part in found):
            return NOTHING
        whole = ""
        for part in parts:
            apart = not whole or (self.separator == NEWLINE and whole.endswith(NEWLINE))
            whole += part if apart else self.separator + part
        return whole

    def schema(self) -> dict[str, JsonValue]:
        """Text."""
        return string.schema()


lines: Final = JoinedText(NEWLINE, "text of lines")
