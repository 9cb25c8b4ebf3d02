"""Stores of other machines as caches: `ssh://[USER@]HOST[:PORT]`, reached as hosts are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from deployer.cli.settings import STORE_DIR
from deployer.errors import ConfigurationError

if TYPE_CHECKING:
    from deployer.cache.location import Location
    from deployer.cache.transports import Opener, Transport
    from deployer.copy import HostSession
    from deployer.inventory import Host


class AddressRefused(ConfigurationError):
    """An address names no machine."""

    address: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"{self.address} names no machine: {self.reason}"

    @property
    def remedy(self) -> str:
        """What one looks like."""
        return "Write ssh://HOST, ssh://USER@HOST:PORT, or a name of ~/.ssh/config."


def ssh_openers() -> Mapping[str, Opener]:
    """What `open_caches` and `push` need for such addresses. Nothing is connected yet."""
    return {"ssh": _open}


def _open(location: Location) -> Transport:
    from deployer.cache.transports.ssh import SshTransport
    from deployer.copy.peer import HostPeer

    host = machine(location.url, location.options)
    return SshTransport(location, HostPeer(lambda: _connect(host)))


def machine(address: str, options: Mapping[str, str]) -> Host:
    """The machine of `ssh://…`; `ssh-key` names a private key, `become` asks for sudo. Raises `AddressRefused`."""
    from deployer.inventory import Connection, Host

    try:
        parts = urlsplit(address)
        name, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressRefused(address, str(error)) from None
    if parts.scheme != "ssh" or not name or name.startswith("-"):
        raise AddressRefused(address, "it has no host")
    if parts.password is not None:
        raise AddressRefused(f"ssh://{name}", "a password has no place in it")
    if parts.path.strip("/"):
        raise AddressRefused(address, "a store is where it is on every host, in /nix/store")
    connection = Connection(
        address=name,
        port=port,
        user=unquote(parts.username) if parts.username else None,
        identity_files=(Path(options["ssh-key"]).expanduser(),) if options.get("ssh-key") else (),
        become=options.get("become", "false") in {"", "1", "true", "yes"},
    )
    return Host(name, connection)


async def _connect(host: Host) -> HostSession:
    from deployer.copy import RuntimeImage, open_session
    from deployer.generation import runtime, runtime_image
    from deployer.ssh import ConnectOptions, connect

    return await open_session(
        connect(host, ConnectOptions()), lambda: RuntimeImage(str(runtime(STORE_DIR).path), runtime_image())
    )
