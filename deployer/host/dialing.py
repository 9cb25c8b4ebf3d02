"""Connections that health checks make: within a time, and never to where clouds keep a machine's secrets."""

from __future__ import annotations

import ipaddress
import socket
import time
from typing import Final, Optional

from deployer.errors import DeploymentError

_METADATA: Final = frozenset({"fd00:ec2::254", "100.100.100.200", "192.0.0.192"})
"""Besides all link-local addresses, of which 169.254.169.254 is the usual one."""


class AddressRefused(DeploymentError):
    """A check would have gone to where clouds keep their secrets."""

    address: str

    @property
    def message(self) -> str:
        """Where."""
        return f"{self.address} is an address at which clouds keep a machine's secrets; checks do not go there"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Name an address of the service's own."


def dial(host: str, port: int, deadline: float) -> socket.socket:
    """A connection, before a moment of `time.monotonic`. Raises `AddressRefused` before it connects, and `OSError`."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in addresses:
        if is_metadata(str(address[0])):
            raise AddressRefused(str(address[0]))
    last: Optional[OSError] = None
    for family, kind, protocol, _, address in addresses:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(left_until(deadline))
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            last = error
    raise last or OSError(f"{host} has no address")


def left_until(deadline: float) -> float:
    """Seconds. Raises `TimeoutError` where there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def is_metadata(address: str) -> bool:
    """Whether a machine's secrets may be had there. `address` is an IP address, perhaps with a zone."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (inner or parsed).is_link_local or str(inner or parsed) in _METADATA
