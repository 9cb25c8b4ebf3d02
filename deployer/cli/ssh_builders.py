"""Machines that build, `ssh://[USER@]HOST[:PORT]`, reached as hosts are."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING

from deployer.cli.settings import STORE_DIR
from deployer.cli.ssh_stores import machine

if TYPE_CHECKING:
    from deployer.build.engines import Reach
    from deployer.copy.builder import BuilderSession
    from deployer.inventory import Host
    from deployer.store import Store


def reach(address: str, key: str | None, become: bool) -> Reach:
    """How the machine of an address is reached. Raises `AddressRefused`."""
    from deployer.build.engines import Reach

    host = machine(address, {"ssh-key": key or "", "become": str(become).lower()})
    host = dataclasses.replace(host, name=f"builder {host.name}")
    return Reach(host.name, lambda: _connect(host), _carried)


async def _connect(host: Host) -> BuilderSession:
    from deployer.copy import RuntimeImage
    from deployer.copy.builder import open_builder
    from deployer.generation import runtime, runtime_image
    from deployer.ssh import ConnectOptions, connect

    return await open_builder(
        connect(host, ConnectOptions()), lambda: RuntimeImage(str(runtime(STORE_DIR).path), runtime_image())
    )


def _carried(store: Store) -> Collection[str]:
    """The runtime, so that it need not be sent with each connection."""
    from deployer.generation import runtime

    ours = runtime(store.store_dir)
    ours.add_to(store)
    store.keep([ours.path])
    return [str(ours.path)]
