"""How Debian packages say what they need, provide and refuse (Debian policy, 7.1)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from deployer.packages.debian.version import DebianVersion

_RELATION: Final = re.compile(
    r"\s*(?P<name>[a-z0-9][a-z0-9+.-]*)(?::(?P<qualifier>[a-z0-9-]+))?"
    r"(?:\s*\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s)]+)\s*\))?\s*"
)
_OPERATORS: Final[dict[str, Callable[[DebianVersion, DebianVersion], bool]]] = {
    "<<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">>": operator.gt,
    "<": operator.le,
    ">": operator.ge,
}
"""The last two are of old, and mean what they have always meant."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A package by its name, and perhaps by its version."""

    name: str
    operator: str = ""
    version: DebianVersion | None = None

    def admits(self, version: DebianVersion | None) -> bool:
        """Whether a version is meant; what is provided without a version is only meant where none is asked for."""
        if self.version is None:
            return True
        return version is not None and _OPERATORS[self.operator](version, self.version)

    def __str__(self) -> str:
        """As it is written."""
        return self.name if self.version is None else f"{self.name} ({self.operator} {self.version})"


Alternatives = tuple[Relation, ...]
"""Any one of these will do; none: nothing does."""


def exactly(name: str, version: DebianVersion) -> Relation:
    """One version of one package."""
    return Relation(name, "=", version)


def parse_relations(text: str, architecture: str) -> tuple[Alternatives, ...]:
    """The value of a field such as `Depends`, for packages of one architecture. What can't be read is nothing that can be had."""
    return tuple(tuple(_alternatives(group, architecture)) for group in text.split(",") if group.strip())


def _alternatives(group: str, architecture: str) -> Iterator[Relation]:
    for word in group.split("|"):
        match = _RELATION.fullmatch(word)
        if match is not None and match["qualifier"] in (None, "any", "native", architecture):
            version = match["version"]
            yield Relation(match["name"], match["operator"] or "", DebianVersion.parse(version) if version else None)
