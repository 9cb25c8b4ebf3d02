"""What a configuration may know of the host that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

MISSING: Final = object()
"""Stands for a value that the host does not have."""


class InventoryConnection(Protocol):
    """The part of `inventory.Connection` that is read."""

    @property
    def address(self) -> str:
        """Where the host is."""


class InventoryHost(Protocol):
    """The part of `inventory.Host` that is read."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Its groups."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""

    @property
    def vars(self) -> Mapping[str, object]:
        """Its variables."""

    @property
    def connection(self) -> Any:
        """How it is reached."""


@dataclass(frozen=True, slots=True)
class HostView:
    """A host's facts, as the inventory gives them."""

    name: str
    address: str = ""
    groups: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    vars: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, host: InventoryHost) -> Self:
        """A host of the inventory."""
        return cls(host.name, host.connection.address, host.groups, host.labels, host.vars)

    def read(self, path: str) -> Any:
        """`name`, `address`, `groups`, `labels`, `labels.X`, `vars`, `vars.X` (and deeper); `MISSING` where there is none."""
        head, _, rest = path.partition(".")
        match head:
            case "name" | "address" if not rest:
                return getattr(self, head)
            case "groups" if not rest:
                return list(self.groups)
            case "labels":
                return self.labels.get(rest, MISSING) if rest else dict(self.labels)
            case "vars":
                return _descend(self.vars, rest) if rest else dict(self.vars)
        return MISSING

    def names(self) -> tuple[str, ...]:
        """Every path that can be read, for near misses."""
        inner = [f"labels.{key}" for key in self.labels] + [f"vars.{key}" for key in self.vars]
        return ("name", "address", "groups", *inner)


def _descend(value: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return MISSING
        value = value[part]
    return value
