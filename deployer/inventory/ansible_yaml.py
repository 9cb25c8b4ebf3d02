"""Ansible's YAML format, as it is: groups at the top, each with `hosts`, `vars` and `children`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deployer.errors import Place
from deployer.inventory import values
from deployer.inventory.ansible_names import host_and_port
from deployer.inventory.ansible_vars import PRIORITY, connection_of, without_secrets
from deployer.inventory.draft import ALL, Draft, Settings
from deployer.inventory.errors import UnknownKey, WrongType
from deployer.inventory.native import TOP_KEYS
from deployer.yaml_source import Mapping, Node, Scalar, Sequence, kind_of, to_plain

GROUP_KEYS: Final = ("hosts", "vars", "children")
_VALUE_TAGS: Final = {"!vault", "!unsafe"}


def is_ansible(top: Mapping) -> bool:
    """Whether a YAML inventory is Ansible's rather than ours."""
    if ALL in top.value or "ungrouped" in top.value:
        return True
    shapes = {key: _looks_like_group(node) for key, node in top.value.items()}
    if any(key in TOP_KEYS and not shape for key, shape in shapes.items()):
        return False
    return any(shapes.values())


def _looks_like_group(node: Node) -> bool:
    if not isinstance(node, Mapping) or not set(node.value) & set(GROUP_KEYS):
        return False
    return all(isinstance(node.get(key) or Scalar(None, node.place), Mapping | Scalar) for key in GROUP_KEYS)


def read(top: Mapping, base: Path, draft: Draft) -> None:
    """Add an inventory of Ansible's to a draft."""
    _Reader(base, draft).groups(top)


class _Reader:
    def __init__(self, base: Path, draft: Draft) -> None:
        self._base = base
        self._draft = draft
        self._problems = draft.problems

    def groups(self, top: Mapping, parent: str | None = None) -> None:
        for name, node in top.value.items():
            place = top.place_of(name)
            with self._problems.noted():
                values.group_name(name, place)
                if parent not in {None, ALL}:
                    self._draft.group(str(parent), place).children[name] = place
                self._group(name, place, node)

    def _group(self, name: str, place: Place, node: Node) -> None:
        settings = self._draft.settings_of(name, place)
        for key, at, value in self._entries(node, f"the group '{name}'"):
            match key:
                case "hosts":
                    for host, host_place, variables in self._entries(value, f"`hosts` of the group '{name}'"):
                        self._host(name, host, host_place, variables)
                case "vars":
                    settings.add(variables_of(value, self._base, self._draft, group=name))
                case "children":
                    children = self._mapping(value, f"`children` of the group '{name}'")
                    if children is not None:
                        self.groups(children, name)
                case _:
                    self._problems.add(UnknownKey(at, key, f"the group '{name}'", GROUP_KEYS))

    def _host(self, group: str, name: str, place: Place, node: Node) -> None:
        settings = variables_of(node, self._base, self._draft)
        with self._problems.noted():
            names, port = host_and_port(name, place)
            if port is not None:
                settings.connection.setdefault("port", port)
            for expanded in names:
                with self._problems.noted():
                    values.host_name(expanded, place)
                    self._draft.host(expanded, place).settings.add(settings)
                    if group != ALL:
                        self._draft.group(group, place).hosts.setdefault(expanded, place)

    def _entries(self, node: Node, what: str) -> Iterator[tuple[str, Place, Node]]:
        entries = self._mapping(node, what)
        if entries is not None:
            for key, value in entries.value.items():
                yield key, entries.place_of(key), value

    def _mapping(self, node: Node, what: str) -> Mapping | None:
        match node:
            case Mapping():
                return node
            case Scalar(value=None):
                return None
            case Scalar(value=str(name)):
                return Mapping({name: Scalar(None, node.place)}, node.place, key_places={name: node.place})
        self._problems.add(WrongType(node.place, what, "a mapping", kind_of(node)))
        return None


def variables_of(node: Node, base: Path, draft: Draft, *, group: str | None = None) -> Settings:
    """What a mapping of variables says. Values under `!vault` and `!unsafe` are the text that stands there."""
    settings = Settings()
    if isinstance(node, Scalar) and node.value is None:
        return settings
    if not isinstance(node, Mapping):
        draft.problems.add(WrongType(node.place, "variables", "a mapping", kind_of(node)))
        return settings
    found: dict[str, Any] = {}
    for key, value in node.value.items():
        with draft.problems.noted():
            found[key] = to_plain(_untagged(value))
    settings.connection, settings.configuration = connection_of(found, lambda name: node.value[name].place, base, draft.problems)
    settings.vars = without_secrets(found)
    if group is not None and group != ALL and isinstance(found.get(PRIORITY), int):
        draft.group(group, node.place).priority = found[PRIORITY]
    return settings


def _untagged(node: Node) -> Node:
    tag = None if node.tag in _VALUE_TAGS else node.tag
    match node:
        case Mapping():
            return Mapping({key: _untagged(value) for key, value in node.value.items()}, node.place, tag, node.key_places)
        case Sequence():
            return Sequence(tuple(_untagged(value) for value in node.value), node.place, tag)
        case Scalar():
            return Scalar(node.value, node.place, tag, node.text)
