"""The way by which the controller came in: the firewall of a generation keeps it open, whatever else it says.

The rules include a file of ours, so that loading them and letting the controller in is one step, also after a reboot.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from typing import Final, Optional

from deployer.host.disk import Disk
from deployer.host.ledger import Metadata
from deployer.host.paths import WAY_IN

_VARIABLE: Final = b"SSH_CONNECTION="
_LARGEST: Final = 1 << 18
"""Bytes of a process's environment that are looked through."""
_DEEPEST: Final = 64
_PRIVATE: Final = Metadata(0o600, 0, 0)


@dataclass(frozen=True)
class WayIn:
    """Where a connection comes from, and to which port."""

    address: str
    port: int

    @classmethod
    def parse(cls, connection: str) -> Optional[WayIn]:
        """Of sshd's `SSH_CONNECTION`: the client's address and port, the server's address and port. None where it is none."""
        words = connection.split()
        if len(words) != 4 or not (words[3].isascii() and words[3].isdecimal()):
            return None
        try:
            address = ipaddress.ip_address(words[0].partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        port = int(words[3])
        return cls(str(address), port) if 0 < port < 1 << 16 else None

    @property
    def rule(self) -> str:
        """For nftables: an element of the set that our rules accept."""
        family = 6 if ":" in self.address else 4
        return f"add element inet deployer controllers{family} {{ {self.address} . {self.port} }}\n"


def keep_way_in(disk: Disk) -> None:
    """Write down by which way this process is reached; what was written before stays where it is reached by none."""
    way = find_way_in()
    if way is not None:
        disk.write(WAY_IN, way.rule.encode(), _PRIVATE)


def find_way_in(pid: int = 0, *, proc: str = "/proc") -> Optional[WayIn]:
    """What sshd told this process, or one of those that started it: sudo passes its environment to nobody."""
    pid = pid or os.getpid()
    for _ in range(_DEEPEST):
        try:
            with open(f"{proc}/{pid}/environ", "rb") as file:
                variables = file.read(_LARGEST).split(b"\0")
            with open(f"{proc}/{pid}/stat", "rb") as file:
                parent = int(file.read(4096).rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return None
        for variable in variables:
            if variable.startswith(_VARIABLE):
                return WayIn.parse(variable[len(_VARIABLE) :].decode("ascii", "replace"))
        if parent <= 1:
            return None
        pid = parent
    return None
