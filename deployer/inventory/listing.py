"""A fleet as `ansible-inventory` shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deployer.inventory.models import Fleet, Host


def list_document(fleet: Fleet) -> dict[str, Any]:
    """`--list`: every group with the hosts and children directly within it, and every host's variables."""
    document: dict[str, Any] = {"_meta": {"hostvars": {name: host_document(host) for name, host in fleet.hosts.items()}}}
    top = _top_groups(fleet)
    document["all"] = {"children": ["ungrouped", *top]}
    if ungrouped := _ungrouped(fleet):
        document["ungrouped"] = {"hosts": ungrouped}
    for group in fleet.groups:
        hosts, children = _direct(fleet, group), [*fleet.children.get(group, ())]
        document[group] = {key: value for key, value in (("hosts", hosts), ("children", children)) if value}
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
    lines = ["@all:", "  |--@ungrouped:", *(f"  |  |--{name}" for name in _ungrouped(fleet))]
    for group in _top_groups(fleet):
        lines += _branch(fleet, group, 1)
    return "\n".join(lines)


def _branch(fleet: Fleet, group: str, depth: int) -> Iterator[str]:
    yield f"{'  |' * depth}--@{group}:"
    for child in fleet.children.get(group, ()):
        yield from _branch(fleet, child, depth + 1)
    for name in _direct(fleet, group):
        yield f"{'  |' * (depth + 1)}--{name}"


def _direct(fleet: Fleet, group: str) -> list[str]:
    below = {name for child in fleet.children.get(group, ()) for name in fleet.groups[child]}
    return [name for name in fleet.groups[group] if name not in below]


def _top_groups(fleet: Fleet) -> list[str]:
    children = {child for group in fleet.children.values() for child in group}
    return [group for group in fleet.groups if group not in children]


def _ungrouped(fleet: Fleet) -> list[str]:
    return [name for name, host in fleet.hosts.items() if not host.groups]
