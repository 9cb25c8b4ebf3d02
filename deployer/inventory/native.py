"""Our own format: `hosts`, `groups`, and what holds for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from deployer.errors import Place
from deployer.inventory import values
from deployer.inventory.ansible_vars import connection_of
from deployer.inventory.draft import ALL, UNGROUPED, Draft, Settings
from deployer.inventory.errors import BadGroupName, DuplicateHost, FileMissing, Problems, UnknownKey, WrongType
from deployer.inventory.ranges import expand
from deployer.yaml_source import Mapping, Node, Scalar, Sequence, kind_of, to_plain

SETTINGS: Final = ("labels", "vars", "connection", "configuration")
HOST_KEYS: Final = SETTINGS
GROUP_KEYS: Final = ("hosts", "children", *SETTINGS)
TOP_KEYS: Final = ("hosts", "groups", *SETTINGS, "rollout", "packages")
CONNECTION_KEYS: Final = (
    "address",
    "port",
    "user",
    "identity_files",
    "jump",
    "become",
    "gate",
    "host_keys",
    "host_key_alias",
    "known_hosts",
    "host_key_policy",
    "ssh_config",
    "connect_timeout",
)
ROLLOUT_KEYS: Final = (
    "canary",
    "waves",
    "max_parallel",
    "one_per",
    "max_failures",
    "max_unreachable",
    "canary_max_failures",
    "on_failure",
    "bake_time",
)
"""Those of `deployer.rollout.strategy`, which this room can't import; a test compares them."""


def read(top: Mapping, base: Path, draft: Draft) -> None:
    """Add an inventory of our format to a draft. `base` is the directory that its paths are relative to."""
    _Reader(base, draft).read(top)


class _Reader:
    def __init__(self, base: Path, draft: Draft) -> None:
        self._base = base
        self._draft = draft
        self._problems: Problems = draft.problems
        self._seen: dict[str, Place] = {}

    def read(self, top: Mapping) -> None:
        self._check_keys(top, "the inventory", TOP_KEYS)
        self._draft.everything.add(self._settings(top))
        hosts = top.get("hosts")
        if isinstance(hosts, Sequence):
            for node in hosts:
                self._host(self._text(node, "a host's name"), node.place, None)
        else:
            for name, place, node in self._entries(hosts, "`hosts`"):
                self._host(name, place, node)
        for name, place, node in self._entries(top.get("groups"), "`groups`"):
            self._group(name, place, node)
        for key, place, node in self._entries(top.get("rollout"), "`rollout`"):
            if key.replace("-", "_") not in ROLLOUT_KEYS:
                self._problems.add(UnknownKey(place, key, "`rollout`", ROLLOUT_KEYS))
            else:
                with self._problems.noted():
                    self._draft.rollout[key.replace("-", "_")] = to_plain(node)
        packages = top.get("packages")
        if packages is not None:
            self._draft.packages = self._file(packages, "packages") or self._draft.packages

    def _host(self, name: str | None, place: Place, node: Node | None) -> None:
        if name is None:
            return
        settings = Settings()
        if node is not None:
            entries = self._mapping(node, f"the host '{name}'")
            if entries is not None:
                self._check_keys(entries, f"the host '{name}'", HOST_KEYS)
                settings = self._settings(entries)
        with self._problems.noted():
            for expanded in expand(name, place):
                with self._problems.noted():
                    values.host_name(expanded, place)
                    if expanded in self._seen:
                        raise DuplicateHost(place, expanded, self._seen[expanded])
                    self._seen[expanded] = place
                    self._draft.host(expanded, place).settings.add(settings)

    def _group(self, name: str, place: Place, node: Node) -> None:
        with self._problems.noted():
            values.group_name(name, place)
            if name in {ALL, UNGROUPED}:
                raise BadGroupName(place, name, "is a group that is always there")
            group = self._draft.group(name, place)
            entries = self._mapping(node, f"the group '{name}'")
            if entries is None:
                return
            self._check_keys(entries, f"the group '{name}'", GROUP_KEYS)
            group.settings.add(self._settings(entries))
            for text, at in self._names(entries.get("hosts"), f"`hosts` of the group '{name}'"):
                with self._problems.noted():
                    group.hosts |= dict.fromkeys(expand(text, at), at)
            for text, at in self._names(entries.get("children"), f"`children` of the group '{name}'"):
                group.children[text] = at

    def _settings(self, node: Mapping) -> Settings:
        settings = Settings()
        for key, _, value in self._entries(node.get("labels"), "`labels`"):
            text = self._label(key, value)
            if text is not None:
                settings.labels[key] = text
        places: dict[str, Place] = {}
        for key, _, value in self._entries(node.get("vars"), "`vars`"):
            with self._problems.noted():
                settings.vars[key] = to_plain(value)
                places[key] = value.place
        settings.connection, _ = connection_of(settings.vars, places.__getitem__, self._base, self._problems)
        settings.connection |= self._connection(node.get("connection"))
        configuration = node.get("configuration")
        if configuration is not None:
            settings.configuration = self._file(configuration, "configuration")
        return settings

    def _label(self, key: str, node: Node) -> str | None:
        if isinstance(node, Scalar) and node.value is not None and node.tag is None:
            return node.value if isinstance(node.value, str) else node.text
        self._problems.add(WrongType(node.place, f"the label `{key}`", "text", kind_of(node)))
        return None

    def _connection(self, node: Node | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if node is None:
            return found
        entries = self._mapping(node, "`connection`")
        if entries is None:
            return found
        self._check_keys(entries, "`connection`", CONNECTION_KEYS)
        for key, value in entries.value.items():
            if key in CONNECTION_KEYS:
                with self._problems.noted():
                    found[key] = self._connection_value(key, value)
        return found

    def _connection_value(self, key: str, node: Node) -> Any:
        many, parse = _CONNECTION[key](self._base)
        parse = _naming(key, parse)
        if not many:
            if not isinstance(node, Scalar) or node.value is None:
                raise WrongType(node.place, f"`{key}`", "a single value", kind_of(node))
            return parse(to_plain(node), node.place)
        found: list[Any] = []
        for item in node if isinstance(node, Sequence) else (node,):
            if not isinstance(item, Scalar) or item.value is None:
                raise WrongType(item.place, f"`{key}`", "text, or a list of texts", kind_of(item))
            parsed = parse(to_plain(item), item.place)
            found += parsed if isinstance(parsed, tuple) else (parsed,)
        return tuple(found)

    def _file(self, node: Node, what: str) -> Path | None:
        with self._problems.noted():
            found = values.path(self._base)(to_plain(node), node.place)
            if not found.is_file():
                raise FileMissing(node.place, what, found)
            return found
        return None

    def _names(self, node: Node | None, what: str) -> Iterator[tuple[str, Place]]:
        match node:
            case None | Scalar(value=None):
                return
            case Sequence():
                for item in node:
                    text = self._text(item, f"a name in {what}")
                    if text is not None:
                        yield text, item.place
            case _:
                self._problems.add(WrongType(node.place, what, "a list of names", kind_of(node)))

    def _text(self, node: Node, what: str) -> str | None:
        if isinstance(node, Scalar) and node.tag is None and node.value is not None and not isinstance(node.value, bool):
            return node.value if isinstance(node.value, str) else node.text
        self._problems.add(WrongType(node.place, what, "text", kind_of(node)))
        return None

    def _entries(self, node: Node | None, what: str) -> Iterator[tuple[str, Place, Node]]:
        entries = self._mapping(node, what) if node is not None else None
        if entries is not None:
            for key, value in entries.value.items():
                yield key, entries.place_of(key), value

    def _mapping(self, node: Node, what: str) -> Mapping | None:
        """The mapping; None for nothing at all, and for what is noted as an error."""
        match node:
            case Mapping(tag=None):
                return node
            case Scalar(value=None, tag=None):
                return None
        self._problems.add(WrongType(node.place, what, "a mapping", kind_of(node)))
        return None

    def _check_keys(self, node: Mapping, where: str, known: tuple[str, ...]) -> None:
        for key in node.value:
            if key not in known:
                self._problems.add(UnknownKey(node.place_of(key), key, where, known))


_Parser = Callable[[object, Place], Any]


def _naming(key: str, parse: _Parser) -> _Parser:
    """The parser, whose complaints of a wrong type name the key."""

    def named(value: object, place: Place) -> Any:
        try:
            return parse(value, place)
        except WrongType as error:
            raise WrongType(error.place, f"`{key}`", error.expected, error.found) from None

    return named


def _one(parse: _Parser) -> Callable[[Path], tuple[bool, _Parser]]:
    return lambda base: (False, parse)


_CONNECTION: Final[dict[str, Callable[[Path], tuple[bool, _Parser]]]] = {
    "address": _one(values.address),
    "port": _one(values.port),
    "user": _one(values.user),
    "identity_files": lambda base: (True, values.path(base)),
    "jump": lambda base: (True, values.jump),
    "become": _one(values.boolean),
    "gate": _one(values.boolean),
    "host_keys": lambda base: (True, values.host_key),
    "host_key_alias": _one(values.address),
    "known_hosts": lambda base: (False, values.path(base)),
    "host_key_policy": _one(values.policy),
    "ssh_config": lambda base: (False, values.path(base)),
    "connect_timeout": _one(values.seconds),
}
