"""The exported JSON Schema and the reference page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deployer import yaml_source
from deployer.config import Module, types
from deployer.config.library import all_modules
from deployer.config.reference import reference, schema
from deployer.yaml_source import to_plain

ROOT = Path(__file__).parents[2]
MODULES = all_modules()
SCHEMA = schema(option for module in MODULES for option in module.options.values())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CONFIGURATIONS = [ROOT / "inventories" / "quickstart" / name for name in ("common.yaml", "web.yaml", "watch.yaml")]
CONFIGURATIONS += [ROOT / "inventories" / "webserver" / name for name in ("people.yaml", "web.yaml")]


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_examples_are_valid(path):
    document = to_plain(yaml_source.load(path), ignore_tags=True)

    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize(
    "document",
    [
        {"imports": "a.yaml"},
        {"imports": ["a.yaml", "backup"]},
        {"users": {"a": {"uid": "${host.vars.uid}"}}},
        {"users": {"a": None}},
        {"etc": {"a": {"text": "${host.name}", "mode": "${host.vars.mode}"}}},
        {"packages": "${host.vars.packages}"},
        {"activation": {"check_deadline": "1min 30s"}},
        {"activation": {"check_deadline": 5}},
        {"imports": [{"path": "site.yaml", "with": {"name": "blog", "port": 80}}, "etc"]},
        {"parameters": {"name": None, "port": {"description": "Where it listens.", "default": 80}}},
        {"disabled_modules": ["tmpfiles", "old.yaml"]},
        {"when": {"if": True, "then": {"packages": ["hello"]}}},
        {"when": [{"if": "${host.vars.on}", "then": {"packages": ["hello"]}, "else": {"when": {"if": False, "then": {}}}}]},
        {"when": [{"if": {"not": {"any": [{"equal": ["${host.name}", "a"]}, True]}}, "then": {}}]},
        {"systemd": {"services": {"a": {"service": {"ExecStart": ["/a", "/b"], "Nice": 5, "PrivateTmp": True}}}}},
    ],
)
def test_valid_documents(document):
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize(
    "document",
    [
        {"pakages": []},
        {"packages": "hello"},
        {"users": {"a": {"hom": "/x"}}},
        {"users": {"a": {"uid": "many"}}},
        {"users": {"a": {"uid": 70000}}},
        {"etc": {"a": {"kind": "lnik"}}},
        {"etc": {"a": {"mode": "rwx"}}},
        {"systemd": {"servces": {}}},
        {"activation": {"check_deadline": "soon"}},
        {"imports": 3},
        {"imports": [{"path": "a.yaml", "wth": {}}]},
        {"parameters": {"port": 80}},
        {"when": {"then": {}}},
        {"when": {"if": True}},
        {"when": {"if": "yes", "then": {}}},
        {"when": {"if": {"not": True, "any": []}, "then": {}}},
        {"when": {"if": True, "then": {"pakages": []}}},
        {"when": {"if": True, "then": {"imports": ["a.yaml"]}}},
        {"when": {"if": {"equal": [1]}, "then": {}}},
    ],
)
def test_wrong_documents(document):
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize("option", [one for module in MODULES for one in module.options.values()], ids=lambda one: one.path)
def test_defaults_and_examples_are_valid(option):
    own = jsonschema.Draft202012Validator(option.type.schema())

    for value in [option.default, *([option.example] if option.example is not None else [])]:
        assert [error.message for error in own.iter_errors(value)] == []


DECLARED = Module("own", "Options to try things on.")
DECLARED.option("own.shown", types.integer(), "A number.", default=0, read_only=True)
DECLARED.option("own.hidden", types.integer(), "A number.", default=0, internal=True)
DECLARED.option(
    "own.service",
    types.json_schema({"properties": {"tag": {"$ref": "#/$defs/tag"}}, "$defs": {"tag": {"maxLength": 3}}}, "a service"),
    "What has a schema of its own.",
    default={},
)
DECLARED.rename("old.shown", to="own.shown")


def test_what_options_are_is_in_the_schema():
    made: Any = schema(DECLARED.options.values(), DECLARED.renamed.values())
    validator = jsonschema.Draft202012Validator(made)

    assert made["properties"]["own"]["properties"]["shown"]["readOnly"] is True
    assert made["properties"]["old"]["properties"]["shown"]["deprecated"] is True
    assert "hidden" not in made["properties"]["own"]["properties"]
    assert validator.is_valid({"own": {"hidden": 3}, "old": {"shown": 3}})
    assert not validator.is_valid({"own": {"hidden": "x"}})
    assert not validator.is_valid({"old": {"shown": "x"}})


def test_an_options_own_schema_finds_its_own_parts():
    validator = jsonschema.Draft202012Validator(schema(DECLARED.options.values()))

    assert validator.is_valid({"own": {"service": {"tag": "abc"}}})
    assert not validator.is_valid({"own": {"service": {"tag": "abcd"}}})


def test_the_reference_page_tells_what_options_are():
    page = reference([DECLARED])

    assert "- Read-only: it can be referred to, and not defined." in page
    assert "own.hidden" not in page
    assert "`old.shown` is called `own.shown` now." in page


def test_the_reference_page_is_current():
    page = (ROOT / "docs" / "reference" / "options.md").read_text(encoding="utf-8")

    assert page == reference(MODULES), "run: python -m deployer.config.reference >docs/reference/options.md"


def test_the_reference_page_names_every_option():
    page = reference(MODULES)

    assert all(f"### `{option.path}`" in page for module in MODULES for option in module.options.values())
