"""What `ansible-inventory` answers, of our fleet: `--list`, `--graph` and `--host`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from deployer.inventory.model import Fleet, Host

_TOP: Final = "all"


def list_document(fleet: Fleet) -> dict[str, Any]:
    """`--list`: groups with what is directly in them, and every host's variables."""
    document: dict[str, Any] = {"_meta": {"hostvars": {name: host_document(host) for name, host in fleet.hosts.items()}}}
    for name, node in fleet.tree.items():
        parts = (("hosts", [*node.hosts]), ("children", [*node.children]))
        document[name] = {key: value for key, value in parts if value}
    return document


def host_document(host: Host) -> dict[str, Any]:
    """`--host`: a host's variables. How it is reached has Ansible's names, what is ours begins with `deployer_`."""
    connection = host.connection
    document: dict[str, Any] = {
        **host.vars,
        "ansible_host": connection.address,
        "ansible_port": connection.port,
        "ansible_user": connection.user,
        "ansible_ssh_private_key_file": str(connection.identity_files[0]) if connection.identity_files else None,
        "ansible_ssh_common_args": f"-J {','.join(connection.jump)}" if connection.jump else None,
        "ansible_become": connection.become or None,
        "deployer_configuration": str(host.configuration) if host.configuration else None,
        "deployer_labels": dict(host.labels) or None,
    }
    return {key: value for key, value in document.items() if value is not None or key in host.vars}


def graph(fleet: Fleet) -> str:
    """`--graph`: groups and hosts as a tree."""
    return "\n".join(["@all:", *_below(fleet, "all", 1)])


def _below(fleet: Fleet, group: str, depth: int) -> Iterator[str]:
    node = fleet.tree[group]
    for child in node.children:
        yield f"{'  |' * depth}--@{child}:"
        yield from _below(fleet, child, depth + 1)
    for name in node.hosts:
        yield f"{'  |' * depth}--{name}"
