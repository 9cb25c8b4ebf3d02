"""Our own format: `hosts`, `groups`, and what holds for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deployer.errors import Place
from deployer.inventory.draft import RESERVED_GROUPS, Draft, Layer
from deployer.inventory.errors import HostTwice, KeyUnknown, RangeWrong, ValueWrong, near
from deployer.inventory.ranges import RangeRefused, expand
from deployer.inventory.settings import CONNECTION_KEYS, Expected, read_connection, read_path
from deployer.yaml_source import Mapping, Node, Scalar, Sequence, YamlRefused, kind_of, to_plain

LAYER_KEYS: Final = ("labels", "vars", "connection", "configuration")
TOP_KEYS: Final = ("hosts", "groups", *LAYER_KEYS, "rollout", "packages")
GROUP_KEYS: Final = ("hosts", "children", *LAYER_KEYS)
_LABEL: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}")


def read_native(top: Mapping, draft: Draft) -> None:
    """Add one file of our format to the draft."""
    reader = LayerReader(Path(top.place.file), draft)
    keys = reader.mapping(top, "the inventory", TOP_KEYS, "Groups belong below `groups`, hosts below `hosts`.")
    draft.top.update(reader.layer(keys, "the inventory"))
    _hosts(reader, keys.get("hosts"), draft)
    if (groups := keys.get("groups")) is not None:
        for name, node in reader.mapping(groups, "groups").items():
            _group(reader, name, node, Mapping.place_of(groups, name) if isinstance(groups, Mapping) else groups.place, draft)
    if (rollout := keys.get("rollout")) is not None:
        for key, node in reader.mapping(rollout, "rollout").items():
            draft.rollout[key] = reader.plain(node)
    if (packages := keys.get("packages")) is not None:
        draft.packages = reader.path(packages, "packages") or draft.packages


class LayerReader:
    """Reads the parts that hosts, groups and the whole have in common. What is wrong goes to the draft's errors."""

    def __init__(self, file: Path, draft: Draft) -> None:
        """Paths in the file are relative to its directory."""
        self._base = file.absolute().parent
        self._draft = draft

    def mapping(self, node: Node, where: str, allowed: Iterable[str] | None = None, advice: str = "") -> dict[str, Node]:
        """The keys of a mapping; nothing at all is an empty one."""
        if isinstance(node, Scalar) and node.value is None:
            return {}
        if not isinstance(node, Mapping):
            self.wrong(node, where, "a mapping")
            return {}
        if allowed is None:
            return node.value
        known = tuple(allowed)
        for key in node.value:
            if key not in known:
                self._draft.errors.append(self._unknown(node.place_of(key), key, where, known, advice))
        return {key: value for key, value in node.value.items() if key in known}

    def layer(self, keys: dict[str, Node], where: str) -> Layer:
        """`labels`, `vars`, `connection` and `configuration`."""
        layer = Layer()
        if (labels := keys.get("labels")) is not None:
            layer.labels = self._labels(labels)
        if (variables := keys.get("vars")) is not None:
            layer.vars = {key: self.plain(node) for key, node in self.mapping(variables, f"vars of {where}").items()}
        if (connection := keys.get("connection")) is not None:
            for key, node in self.mapping(connection, f"connection of {where}", CONNECTION_KEYS).items():
                self.connection(layer, key, node)
        if (configuration := keys.get("configuration")) is not None:
            layer.configuration = self.path(configuration, "configuration")
        return layer

    def connection(self, layer: Layer, key: str, node: Node) -> None:
        """One key of `connection`."""
        try:
            layer.connection[key] = read_connection(key, self.plain(node), self._base)
        except Expected as error:
            self.wrong(node, f"connection.{key}", str(error))

    def path(self, node: Node, key: str) -> Path | None:
        """A path; nothing where it is none, or null."""
        value = self.plain(node)
        if value is None:
            return None
        try:
            return read_path(value, self._base)
        except Expected as error:
            self.wrong(node, key, str(error))
            return None

    def names(self, text: str, place: Place) -> list[str]:
        """The names that a name or range stands for."""
        try:
            return expand(text)
        except RangeRefused as error:
            self._draft.errors.append(RangeWrong(place, text, str(error)))
            return []

    def plain(self, node: Node) -> object:
        """The bare value; null where it has a tag, which is an error."""
        try:
            return to_plain(node)
        except YamlRefused as error:
            self._draft.errors.append(error)
            return None

    def wrong(self, node: Node, key: str, expected: str) -> None:
        """Remember that a value is not what it is to be."""
        self._draft.errors.append(ValueWrong(node.place, key, kind_of(node), expected))

    def _labels(self, node: Node) -> dict[str, str]:
        labels = {}
        for key, value in self.mapping(node, "labels").items():
            if not _LABEL.fullmatch(key):
                self._draft.errors.append(
                    ValueWrong(value.place, f"the label {key!r}", "its name", "of letters, digits and . _ / -")
                )
            elif not isinstance(value, Scalar) or value.value is None or not value.text.isprintable():
                self.wrong(value, f"labels.{key}", "a text of one line")
            else:
                labels[key] = value.text
        return labels

    @staticmethod
    def _unknown(place: Place, key: str, where: str, known: tuple[str, ...], advice: str) -> KeyUnknown:
        if key in CONNECTION_KEYS and "connection" in known:
            return KeyUnknown(place, key, where, (), f"Write it below `connection`: `connection: {{{key}: …}}`.")
        listed = f"Its keys are {', '.join(known)}."
        return KeyUnknown(place, key, where, near(key, known), f"{advice} {listed}".strip())


def _hosts(reader: LayerReader, node: Node | None, draft: Draft) -> None:
    if node is None:
        return
    here: dict[str, Place] = {}
    for text, settings in reader.mapping(node, "hosts").items():
        place = Mapping.place_of(node, text) if isinstance(node, Mapping) else node.place
        where = f"the host '{text}'"
        layer = reader.layer(reader.mapping(settings, where, LAYER_KEYS), where)
        for name in reader.names(text, place):
            if name in here:
                draft.errors.append(HostTwice(place, name, here[name]))
            elif (host := draft.host(name, place)) is not None:
                here[name] = place
                host.layer.update(layer)


def _group(reader: LayerReader, name: str, node: Node, place: Place, draft: Draft) -> None:
    where = f"the group '{name}'"
    keys = reader.mapping(node, where, GROUP_KEYS)
    layer = reader.layer(keys, where)
    group = draft.group(name, place)
    if group is None:
        return
    group.layer.update(layer)
    for text, at in _listed(reader, keys.get("hosts"), f"hosts of {where}"):
        group.hosts.update(dict.fromkeys(reader.names(text, at), at))
    group.children.update(dict(_listed(reader, keys.get("children"), f"children of {where}")))


def _listed(reader: LayerReader, node: Node | None, key: str) -> list[tuple[str, Place]]:
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return []
    if not isinstance(node, Sequence):
        reader.wrong(node, key, "a list of names")
        return []
    found = []
    for item in node:
        if isinstance(item, Scalar) and isinstance(item.value, str) and item.tag is None:
            found.append((item.value, item.place))
        elif isinstance(item, Scalar) and item.value is not None and item.text:
            found.append((item.text, item.place))
        else:
            reader.wrong(item, key, "a name")
    return found


def is_native(top: Mapping) -> bool:
    """Whether a file is of our format; otherwise its top-level keys are Ansible's groups."""
    if RESERVED_GROUPS & set(top.value):
        return False
    if set(top.value) & set(TOP_KEYS):
        return True
    return not any(isinstance(node, Mapping) and set(node.value) & {"hosts", "children", "vars"} for node in top.value.values())
