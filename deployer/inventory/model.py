"""What an inventory says, once it is known to be right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deployer.errors import Place

HostKeyPolicy = Literal["strict", "accept-new"]
"""Whether a host whose key is not known yet is refused, or its key is taken down at the first meeting."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How a host is reached. What is None is what `ssh_config` says, else OpenSSH's default."""

    address: str
    port: int | None = None
    user: str | None = None
    identity_files: tuple[Path, ...] = ()
    """Private keys. Where there are some, no others are tried; an agent may hold them."""
    jump: tuple[str, ...] = ()
    """`user@host:port` of the hosts on the way, the nearest first."""
    become: bool = False
    """Whether commands run under `sudo`."""
    gate: bool = False
    """Whether the login may do nothing but deploy, by the gate that `deployer host-access` prints; `become` is not looked at."""
    host_keys: tuple[str, ...] = ()
    """Pinned public keys, `ssh-ed25519 AAAA…`; where there are some, no file of known hosts is asked."""
    host_key_alias: str | None = None
    known_hosts: Path | None = None
    """Read instead of the user's and the machine's files."""
    host_key_policy: HostKeyPolicy = "strict"
    ssh_config: Path | None = None
    """None: `~/.ssh/config`, where it exists."""
    connect_timeout: float = 15.0
    """Seconds until a command can be run."""


@dataclass(frozen=True, slots=True)
class Host:
    """One managed machine."""

    name: str
    connection: Connection
    groups: tuple[str, ...] = ()
    """Those that it is in, directly or through others, from the most general to the most special; without `all`."""
    labels: Mapping[str, str] = field(default_factory=dict)
    vars: Mapping[str, object] = field(default_factory=dict)
    configuration: Path | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class GroupNode:
    """A group as it was written: what is directly in it."""

    hosts: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fleet:
    """All hosts, and what is said of them together."""

    hosts: Mapping[str, Host]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Group to the hosts in it, directly or through others; with `all` and `ungrouped`."""
    rollout: Mapping[str, object] = field(default_factory=dict)
    """As it is written; its keys are known ones."""
    packages: Path | None = None
    tree: Mapping[str, GroupNode] = field(default_factory=dict)
    """What is directly in each group."""

    def select(self, selector: str | None) -> tuple[Host, ...]:
        """The hosts that a selector picks, in the inventory's order; all of them for None. Raises `SelectorError`."""
        if selector is None:
            return tuple(self.hosts.values())
        from deployer.inventory.selectors import select

        return select(self, selector)
