"""The lab's network: one namespace for controllers with a bridge, and one namespace and veth pair a host.

Nothing routes out of it. Addresses are of 192.0.2.0/24, which is reserved for documentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deployer.process import run

NETNS: Final = Path("/run/netns")
CONTROLLER_ADDRESS: Final = "192.0.2.1"
FIRST: Final = 10
LAST: Final = 254
"""Last numbers of the hosts' addresses."""
_BRIDGE: Final = "hosts"


def address_of(number: int) -> str:
    """The address of the host with this number."""
    return f"192.0.2.{number}"


def namespace_of(lab: str, host: str = "") -> str:
    """The name of a host's network namespace, or of the lab's own."""
    return f"dlab-{lab}.{host}" if host else f"dlab-{lab}"


async def make_controller(lab: str) -> None:
    """Make the namespace in which controllers run, with the bridge."""
    namespace = namespace_of(lab)
    if (NETNS / namespace).exists():
        await run(["ip", "netns", "delete", namespace])
    await run(["ip", "netns", "add", namespace])
    await _batch(
        namespace,
        "link set lo up",
        f"link add {_BRIDGE} type bridge",
        f"address add {CONTROLLER_ADDRESS}/24 dev {_BRIDGE}",
        f"link set {_BRIDGE} up",
    )


async def make_host(lab: str, host: str, number: int) -> None:
    """Make the namespace of a host and plug it into the bridge."""
    controller, own = namespace_of(lab), namespace_of(lab, host)
    if (NETNS / own).exists():
        await run(["ip", "netns", "delete", own])
    await run(["ip", "netns", "add", own])
    port = _port(number)
    await _batch(
        controller,
        f"link add {port} type veth peer name host0 netns {own}",
        f"link set {port} master {_BRIDGE}",
        f"link set {port} up",
    )
    await _batch(
        own,
        "link set lo up",
        f"address add {address_of(number)}/24 dev host0",
        "link set host0 up",
        f"route add default via {CONTROLLER_ADDRESS}",
    )


async def set_port(lab: str, number: int, *, up: bool) -> None:
    """Plug a host in, or pull its plug: nothing reaches it, and it reaches nothing."""
    await run(["ip", "-n", namespace_of(lab), "link", "set", _port(number), "up" if up else "down"])


async def remove(namespace: str) -> None:
    """Remove a named namespace, if it is there."""
    if (NETNS / namespace).exists():
        await run(["ip", "netns", "delete", namespace], check=False)


def _port(number: int) -> str:
    return f"host{number}"


async def _batch(namespace: str, *commands: str) -> None:
    await run(["ip", "-n", namespace, "-batch", "-"], stdin="\n".join(commands).encode() + b"\n")
