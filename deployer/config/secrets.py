"""The type of what names a secret: a file on the host. What it holds never enters a configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from deployer.config.definitions import Definition
from deployer.config.errors import ConfigError
from deployer.config.merging import NOTHING, OptionType, Scope
from deployer.config.scalars import STORE
from deployer.errors import JsonValue, Place

_PATH: Final = re.compile(r"/[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f/]")
_SCHEMA: Final = r"^/.*[^/]$|^\$\{[^}]+\}"


class NoSecretFile(ConfigError):
    """Something else than the path of a file on the host. It may be a secret by mistake, so nothing here repeats it."""

    option: str
    reason: str
    place: Place | None
    declared: Place | None = None
    shows_its_line: ClassVar[bool] = False

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"option '{self.option}' must be {SecretFile.description}, and {self.reason}"

    @property
    def remedy(self) -> str:
        """Where to put a secret."""
        where = f" The option is declared at {self.declared}." if self.declared else ""
        return f"Put the secret into a file of root's on the host (mode 0400), and name that file.{where}"


@dataclass(frozen=True)
class SecretFile(OptionType):
    """The path of a file on the host that holds a secret."""

    description: str = "the absolute path of a file on the host that holds the secret, never the secret itself"

    def check(self, option: str, definition: Definition, scope: Scope) -> Any:
        """The path."""
        value = scope.value_of(definition)
        if value is NOTHING:
            return NOTHING
        reason = _fault(value)
        if reason:
            scope.note(NoSecretFile(option, reason, definition.place, scope.declared))
            return NOTHING
        return value

    def schema(self) -> dict[str, JsonValue]:
        """Text."""
        return {"type": "string", "pattern": _SCHEMA}


def _fault(value: Any) -> str:
    if not isinstance(value, str):
        return "is no text"
    if not _PATH.fullmatch(value):
        return "is no such path"
    if value.startswith(STORE):
        return "is a path in the store, which every user of a host can read"
    if {".", "..", ""} & set(value.split("/")[1:]):
        return "has an empty part, or one that is . or .."
    return ""


secret_file: Final = SecretFile()
