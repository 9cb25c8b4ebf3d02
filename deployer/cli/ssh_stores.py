"""Stores of other machines as caches: `ssh://[USER@]HOST[:PORT]`, reached as hosts are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from deployer.cli.settings import STORE_DIR

if TYPE_CHECKING:
    from deployer.cache.location import Location
    from deployer.cache.transports import Opener, Transport
    from deployer.copy import HostSession


def ssh_openers() -> Mapping[str, Opener]:
    """What `open_caches` and `push` need for such addresses. Nothing is connected yet."""
    return {"ssh": _open}


def _open(location: Location) -> Transport:
    from deployer.cache.transports.ssh import SshTransport
    from deployer.copy.peer import HostPeer

    return SshTransport(location, HostPeer(lambda: _connect(location)))


async def _connect(location: Location) -> HostSession:
    from deployer.copy import RuntimeImage, open_session
    from deployer.generation import runtime, runtime_image
    from deployer.inventory import Connection, Host
    from deployer.ssh import ConnectOptions, connect

    parts = urlsplit(location.url)
    identity = location.options.get("ssh-key")
    connection = Connection(
        parts.hostname or "",
        parts.port,
        unquote(parts.username) if parts.username else None,
        identity_files=(Path(identity),) if identity else (),
        become=location.options.get("become", "false") in {"1", "true", "yes"},
    )
    host = Host(parts.hostname or "", connection)
    return await open_session(
        connect(host, ConnectOptions()), lambda: RuntimeImage(str(runtime(STORE_DIR).path), runtime_image())
    )
