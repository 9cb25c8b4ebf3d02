"""What holds for all connections of a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deployer.ssh.becoming import BecomePassword


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How connections are made, apart from what the inventory says of a host. Times are in seconds."""

    attempts: int = 3
    """How often a connection is tried that is refused or reset; whatever else goes wrong is final."""
    keepalive_interval: float = 15.0
    keepalive_count: int = 3
    """Silent keepalives after which a connection counts as broken."""
    open_timeout: float = 30.0
    """For opening a channel on a connection."""
    close_timeout: float = 3.0
    """For a polite end, before a connection is cut."""
    become_password: BecomePassword | None = None
    """What sudo may ask for, where a host's connection has `become`."""
    unauthenticated_per_jump: int = 6
    """Logins that are under way at one jump host at the same time; OpenSSH drops some beyond 10 (MaxStartups)."""
