"""JSON Schema (2020-12) of inventories in our own format, for editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deployer.errors import JsonValue

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_Schema = dict[str, Any]


def schema() -> dict[str, JsonValue]:
    """What an inventory file may say. That names refer to what is there only reading it tells."""
    top: _Schema = {
        "hosts": _described(
            {"anyOf": [_nothing_or(_object({}, _nothing_or(_object(SETTINGS)))), _list({"type": "string", "minLength": 1})]},
            "Hosts, or ranges such as web[01:20], with settings of their own.",
        ),
        "groups": _described(
            _nothing_or(_object({}, _nothing_or(_object({**_MEMBERS, **SETTINGS})))),
            "Groups of hosts, with settings for all of them.",
        ),
        **SETTINGS,
        "rollout": _described(_nothing_or(_object(ROLLOUT)), "How a rollout goes over the hosts."),
        "packages": _described(_PATH, "The file of the package set. By default packages.yaml, where it stands beside this one."),
    }
    return {"$schema": DIALECT, "title": "deployer inventory", **_object(top)}


def _object(properties: Mapping[str, Any], rest: Any = False) -> _Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": rest}


def _nothing_or(one: _Schema) -> _Schema:
    return {"anyOf": [{"type": "null"}, one]}


def _list(item: _Schema) -> _Schema:
    return {"type": "array", "items": item}


def _one_or_many(item: _Schema) -> _Schema:
    return {"anyOf": [item, _list(item)]}


def _described(one: _Schema, description: str, **more: Any) -> _Schema:
    return {**one, "description": description, **more}


_PATH: Final[_Schema] = {"type": "string", "minLength": 1}
_TEXT: Final[_Schema] = {"type": ["string", "number", "boolean"]}
_NAME: Final[_Schema] = {"type": "string", "minLength": 1}
_BOOLEAN: Final[_Schema] = {"type": "boolean"}
_SECONDS: Final[_Schema] = {"type": "number", "minimum": 0.1, "maximum": 3600}


def _amount(least: int) -> _Schema:
    return {"anyOf": [{"type": "integer", "minimum": least}, {"type": "string", "pattern": r"^\s*[0-9]+\s*%?\s*$"}]}


CONNECTION: Final[Mapping[str, _Schema]] = {
    "address": _described(_NAME, "A name or an IP address. By default the host's name."),
    "port": _described(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}]}, "As ssh_config says."
    ),
    "user": _described({"type": ["string", "integer"]}, "The login. By default as ssh_config says."),
    "identity_files": _described(_one_or_many(_PATH), "Private keys; no others are tried."),
    "jump": _described(_one_or_many(_NAME), "Hosts to go through, the nearest first: user@host:port."),
    "become": _described(_BOOLEAN, "Whether commands run by sudo.", default=False),
    "gate": _described(_BOOLEAN, "Whether the login may only deploy.", default=False),
    "host_keys": _described(_one_or_many(_NAME), "The only keys that the host may show: ssh-ed25519 AAAA…"),
    "host_key_alias": _described(_NAME, "The name that its key stands under in files of known hosts."),
    "known_hosts": _described(_PATH, "Read instead of the user's and the machine's files."),
    "host_key_policy": _described(
        {"enum": ["strict", "accept-new"]}, "Whether a host of which no key is known is refused.", default="strict"
    ),
    "ssh_config": _described(_PATH, "Instead of ~/.ssh/config; /dev/null for none."),
    "connect_timeout": _described(_SECONDS, "Seconds, for each hop.", default=15),
}
ROLLOUT: Final[Mapping[str, _Schema]] = {
    "canary": _described(
        {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 0}, {"type": "string"}, _list({"type": "string"})]},
        "Who goes first: a count, a percentage, a selector, or names.",
        examples=[1, "10%", "canary=yes"],
    ),
    "waves": _described(
        {
            "anyOf": [
                {"type": "null"},
                {"type": "integer", "minimum": 1},
                {"type": "string"},
                _list(_amount(1)),
                {**_object({"label": _NAME}), "required": ["label"]},
            ]
        },
        "The sizes of the waves after the canary, or the label whose values are the waves.",
        examples=[["10%", "50%", "100%"], {"label": "zone"}],
    ),
    "max_parallel": _described(_amount(1), "Hosts that are changed at the same time.", default=10),
    "one_per": _described({"type": ["string", "null"]}, "A label that names failure domains."),
    "max_failures": _described(_amount(0), "Hosts that may fail before the rollout stops.", default=0),
    "max_unreachable": _described(_amount(0), "Hosts that may be out of reach before the rollout stops.", default=0),
    "canary_max_failures": _described(_amount(0), "Hosts of the canary that may fail or be out of reach.", default=0),
    "on_failure": _described(
        {"enum": ["stop", "rollback-wave", "rollback-all"]}, "What becomes of hosts that were changed.", default="stop"
    ),
    "bake_time": _described({"type": ["number", "string"]}, "The time between waves: 90, 90s, 10m.", default=0),
}
SETTINGS: Final[Mapping[str, _Schema]] = {
    "labels": _described(_nothing_or(_object({}, _TEXT)), "Texts by which selectors and waves pick hosts."),
    "vars": _described(_nothing_or(_object({}, {})), "Values for configurations: ${host.vars.NAME}."),
    "connection": _described(_nothing_or(_object(CONNECTION)), "How a host is reached."),
    "configuration": _described(_PATH, "The file that says what a host is to be."),
}
_MEMBERS: Final[Mapping[str, _Schema]] = {
    "hosts": _described(_nothing_or(_list(_TEXT)), "Names of hosts, and ranges."),
    "children": _described(_nothing_or(_list(_NAME)), "Groups whose hosts are in it too."),
}
