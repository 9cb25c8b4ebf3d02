"""What an inventory says, resolved: one value for everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from deployer.errors import Place

HostKeyPolicy: TypeAlias = Literal["strict", "accept-new"]


@dataclass(frozen=True, slots=True)
class Connection:
    """How one host is reached."""

    address: str
    port: int = 22
    user: str | None = None
    """None: as the SSH configuration says, or the login of the controller."""
    identity_files: tuple[Path, ...] = ()
    """Private keys. None of them: those of the SSH configuration, the agent's, and OpenSSH's usual files."""
    jump: tuple[str, ...] = ()
    """The hosts to go through, nearest first: `user@host:port`."""
    become: bool = False
    """Whether commands are run by `sudo -n`."""
    host_keys: tuple[str, ...] = ()
    """The only keys that the host may show, as a known_hosts file has them (`ssh-ed25519 AAAA…`)."""
    host_key_alias: str | None = None
    """The name that its key stands under in known_hosts files."""
    known_hosts: Path | None = None
    """Read instead of the user's own known_hosts file."""
    host_key_policy: HostKeyPolicy = "strict"
    ssh_config: Path | None = None
    connect_timeout: float = 15.0
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Host:
    """One host."""

    name: str
    groups: tuple[str, ...]
    """All that it is in, also through children; the most general first."""
    labels: Mapping[str, str]
    vars: Mapping[str, object]
    connection: Connection
    configuration: Path | None
    place: Place
    """Where it was first named."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """All hosts of the sources, in their order."""

    hosts: Mapping[str, Host]
    groups: Mapping[str, tuple[str, ...]]
    """The names of each group's hosts, its children's among them, in the inventory's order."""
    rollout: Mapping[str, object] = field(default_factory=dict)
    """As it was written; `deployer.rollout.Strategy` reads it."""
    packages: Path | None = None
    children: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The groups directly within each group."""

    def select(self, selector: str | None) -> tuple[Host, ...]:
        """The hosts that a selector means, in the inventory's order; None: all of them.

        Raises the errors of `deployer.inventory.selectors`. The result is never empty.
        """
        from deployer.inventory.selectors import select

        return select(self, selector)
