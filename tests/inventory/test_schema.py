"""The exported JSON Schema of inventories, judged by a public validator."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from deployer import yaml_source
from deployer.inventory.native import CONNECTION_KEYS, GROUP_KEYS, HOST_KEYS, ROLLOUT_KEYS, TOP_KEYS
from deployer.inventory.schema import CONNECTION, ROLLOUT, SETTINGS, schema
from deployer.rollout import Strategy
from tests.docs.project_pages import ROOT, blocks

SCHEMA: Any = schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def faults(text: str) -> list[str]:
    document = yaml_source.to_plain(yaml_source.loads(text, "inventory.yaml"))
    return [error.message for error in VALIDATOR.iter_errors(document)]


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_it_has_every_key_that_is_read_and_no_other():
    group = SCHEMA["properties"]["groups"]["anyOf"][1]["additionalProperties"]["anyOf"][1]

    assert set(SCHEMA["properties"]) == set(TOP_KEYS)
    assert set(group["properties"]) == set(GROUP_KEYS)
    assert (set(SETTINGS), set(CONNECTION), set(ROLLOUT)) == (set(HOST_KEYS), set(CONNECTION_KEYS), set(ROLLOUT_KEYS))


def test_its_defaults_are_those_of_a_rollout():
    defaults = Strategy().to_json()

    for key, one in ROLLOUT.items():
        if "default" in one:
            assert defaults[key] == one["default"]


@pytest.mark.parametrize("file", sorted(ROOT.glob("inventories/*/inventory.yaml")), ids=lambda file: file.parent.name)
def test_example_inventories_are_valid(file):
    assert faults(file.read_text(encoding="utf-8")) == []


INVENTORIES = [
    *blocks("yaml inventory"),
    *(one for one in blocks("yaml") if re.search(r"^(hosts|groups):", one.body, re.MULTILINE)),
]


@pytest.mark.parametrize("block", INVENTORIES, ids=str)
def test_inventories_on_pages_are_valid(block):
    assert faults(block.body) == []


@pytest.mark.parametrize(
    "text",
    [
        "hosts: [web1, 'db[1:3]']\n",
        "hosts: {web1: , web2: {labels: {zone: 1, on: true}}}\n",
        "hosts: {a: {}}\nrollout: {waves: {label: zone}, canary: 10%, max_failures: '1', bake_time: 90s}\n",
        "hosts: {a: {connection: {jump: [a, b], port: 22, identity_files: key}}}\ngroups: {g: {hosts: [a], children: }}\n",
    ],
)
def test_what_is_read_is_valid(text):
    assert faults(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "host: {}\n",
        "hosts: {a: {label: {}}}\n",
        "hosts: {a: {labels: {zone: [a]}}}\n",
        "hosts: {a: {connection: {port: 70000}}}\n",
        "hosts: {a: {connection: {host_key_policy: none}}}\n",
        "hosts: {a: }\nrollout: {on_failure: explode}\n",
        "hosts: {a: }\nrollout: {waves: {label: zone, other: 1}}\n",
        "hosts: {a: }\ngroups: {g: {hosts: a}}\n",
    ],
)
def test_what_is_refused_is_not_valid(text):
    assert faults(text) != []
