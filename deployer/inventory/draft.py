"""What the sources say, put together before it is known to be right.

Every source, of whatever format, writes into one `Draft`; what comes later wins, key by key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deployer.errors import Place
from deployer.inventory.errors import Problems

ALL: Final = "all"
UNGROUPED: Final = "ungrouped"


@dataclass(slots=True)
class Settings:
    """What one level (all hosts, a group, a host) says of its hosts."""

    labels: dict[str, str] = field(default_factory=dict)
    vars: dict[str, Any] = field(default_factory=dict)
    connection: dict[str, Any] = field(default_factory=dict)
    """By the names of the fields of `Connection`."""
    configuration: Path | None = None

    def add(self, other: Settings) -> None:
        """Let another level, or a later source, win."""
        self.labels |= other.labels
        self.vars |= other.vars
        self.connection |= other.connection
        self.configuration = other.configuration or self.configuration


@dataclass(slots=True)
class GroupDraft:
    """A group as far as it is known."""

    name: str
    place: Place
    declared: bool = False
    """Whether a source says what it is, and not only that it is a part of another."""
    hosts: dict[str, Place] = field(default_factory=dict)
    children: dict[str, Place] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    priority: int = 1


@dataclass(slots=True)
class HostDraft:
    """A host as far as it is known."""

    name: str
    place: Place
    settings: Settings = field(default_factory=Settings)


@dataclass(slots=True)
class Draft:
    """An inventory as far as it is known."""

    hosts: dict[str, HostDraft] = field(default_factory=dict)
    groups: dict[str, GroupDraft] = field(default_factory=dict)
    everything: Settings = field(default_factory=Settings)
    """What holds for all hosts."""
    rollout: dict[str, object] = field(default_factory=dict)
    packages: Path | None = None
    directories: dict[Path, None] = field(default_factory=dict)
    """Directories of sources, in whose `group_vars/` and `host_vars/` more may stand; the later wins."""
    problems: Problems = field(default_factory=Problems)

    def host(self, name: str, place: Place) -> HostDraft:
        """The host of this name; a new one where there is none."""
        return self.hosts.setdefault(name, HostDraft(name, place))

    def group(self, name: str, place: Place, *, declared: bool = True) -> GroupDraft:
        """The group of this name; a new one where there is none."""
        group = self.groups.setdefault(name, GroupDraft(name, place))
        if declared and not group.declared:
            group.declared, group.place = True, place
        return group

    def settings_of(self, group: str, place: Place) -> Settings:
        """What a group says; `all` is not a group like others."""
        return self.everything if group == ALL else self.group(group, place).settings
