"""The files of a lab that controllers read: inventory, known hosts, and a configuration for OpenSSH."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from deployer.lab.lab import Lab, LabHost

_HEADER: Final = "# Written by the lab; it is written anew whenever the lab grows.\n"


async def write(lab: Lab) -> None:
    """Write all three."""
    _replace(lab.known_hosts, "".join(_known_host(host) for host in lab.hosts))
    _replace(lab.ssh_config, _HEADER + "\n".join(_ssh_host(lab, host) for host in lab.hosts))
    _replace(lab.inventory, _HEADER + "hosts:\n" + "".join(_inventory_host(lab, host) for host in lab.hosts))


def _known_host(host: LabHost) -> str:
    kind, key, *_ = host.host_key.with_suffix(".pub").read_text(encoding="utf-8").split()
    return f"{host.address},{host.name} {kind} {key}\n"


def _ssh_host(lab: Lab, host: LabHost) -> str:
    return (
        f"Host {host.name} {host.address}\n"
        f"  HostName {host.address}\n"
        "  User root\n"
        f"  IdentityFile {lab.identity_file}\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {lab.known_hosts}\n"
        "  StrictHostKeyChecking yes\n"
        "  LogLevel ERROR\n"
    )


def _inventory_host(lab: Lab, host: LabHost) -> str:
    connection = {
        "address": host.address,
        "user": "root",
        "identity_files": [str(lab.identity_file)],
        "known_hosts": str(lab.known_hosts),
    }
    labels = {"release": host.release}
    return f"  {host.name}:\n    connection: {json.dumps(connection)}\n    labels: {json.dumps(labels)}\n"


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
