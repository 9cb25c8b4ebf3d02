"""The exported JSON Schema and the reference page."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from deployer import yaml_source
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
    ],
)
def test_wrong_documents(document):
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize("option", [one for module in MODULES for one in module.options.values()], ids=lambda one: one.path)
def test_defaults_and_examples_are_valid(option):
    own = jsonschema.Draft202012Validator(option.type.schema())

    for value in [option.default, *([option.example] if option.example is not None else [])]:
        assert [error.message for error in own.iter_errors(value)] == []


def test_the_reference_page_is_current():
    page = (ROOT / "docs" / "reference" / "options.md").read_text(encoding="utf-8")

    assert page == reference(MODULES), "run: python -m deployer.config.reference >docs/reference/options.md"


def test_the_reference_page_names_every_option():
    page = reference(MODULES)

    assert all(f"### `{option.path}`" in page for module in MODULES for option in module.options.values())
