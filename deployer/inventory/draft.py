"""What the sources say, before it is resolved: every source adds to one draft, and later ones win key by key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deployer.errors import DeployerError, Place
from deployer.inventory.errors import NameRefused

HOST_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
GROUP_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
RESERVED_GROUPS: Final = {"all", "ungrouped"}
"""They are always there; what holds for all hosts stands at the top of the file."""


@dataclass(slots=True)
class Layer:
    """What one place says about the hosts that it covers."""

    labels: dict[str, str] = field(default_factory=dict)
    vars: dict[str, Any] = field(default_factory=dict)
    connection: dict[str, Any] = field(default_factory=dict)
    """Values of fields of `Connection`; None: back to the default."""
    configuration: Path | None = None

    def update(self, other: Layer) -> None:
        """Let another layer win over this one, key by key."""
        self.labels.update(other.labels)
        self.vars.update(other.vars)
        self.connection.update(other.connection)
        self.configuration = other.configuration or self.configuration


@dataclass(slots=True)
class HostDraft:
    """One host, as far as it is known."""

    place: Place
    layer: Layer = field(default_factory=Layer)


@dataclass(slots=True)
class GroupDraft:
    """One group, as far as it is known."""

    place: Place
    hosts: dict[str, Place] = field(default_factory=dict)
    children: dict[str, Place] = field(default_factory=dict)
    layer: Layer = field(default_factory=Layer)
    priority: int = 1
    """Among groups of equal depth the higher one wins; Ansible's `ansible_group_priority`."""


@dataclass(slots=True)
class Draft:
    """All of it, and all that is wrong with it."""

    top: Layer = field(default_factory=Layer)
    hosts: dict[str, HostDraft] = field(default_factory=dict)
    groups: dict[str, GroupDraft] = field(default_factory=dict)
    rollout: dict[str, Any] = field(default_factory=dict)
    packages: Path | None = None
    errors: list[DeployerError] = field(default_factory=list)

    def host(self, name: str, place: Place) -> HostDraft | None:
        """The host of a name, new or known; None where there can be no such name."""
        if name not in self.hosts:
            if not HOST_NAME.fullmatch(name):
                advice = "Host names have letters, digits, dots and hyphens, and begin with a letter or digit."
                self.errors.append(NameRefused(place, "host", name, advice))
                return None
            self.hosts[name] = HostDraft(place)
        return self.hosts[name]

    def group(self, name: str, place: Place) -> GroupDraft | None:
        """The group of a name, new or known; None where there can be no such name."""
        if name not in self.groups:
            if name in RESERVED_GROUPS:
                advice = "It is always there. Settings for all hosts stand at the top of the file, outside of `groups`."
                self.errors.append(NameRefused(place, "group", name, advice))
                return None
            if not GROUP_NAME.fullmatch(name):
                advice = "Group names have letters, digits, dots, hyphens and underscores, and begin with no dot or hyphen."
                self.errors.append(NameRefused(place, "group", name, advice))
                return None
            self.groups[name] = GroupDraft(place)
        return self.groups[name]
