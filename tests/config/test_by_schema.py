"""Options that have a JSON Schema of their own: what it does not allow is told where it stands."""

from __future__ import annotations

import pytest

MODULE = """
from deployer.config import Module, types

module = Module("app", "An application.")
SCHEMA = {
    "type": "object",
    "required": ["port"],
    "properties": {
        "port": {"type": "integer", "maximum": 65535},
        "hosts": {"type": "array", "items": {"type": "string"}},
        "name": {"minLength": 2},
    },
    "additionalProperties": False,
}
module.option("app", types.json_schema(SCHEMA, "the settings of the application"), "Its settings.", default={"port": 80})
"""


def said(directory, main: str, module: str = MODULE, **files: str) -> list[str]:
    errors = directory.errors(
        f"imports: [app{''.join(f', {name}.yaml' for name in files)}]\n{main}", **{"modules__app.py": module}, **files
    )
    return [str(error).replace(f"{directory.path}/", "") for error in errors]


def test_what_is_allowed_is_the_value(directory):
    config = directory.evaluate("imports: [app]\napp: {port: '${host.vars.port}', hosts: [a]}\n", **{"modules__app.py": MODULE})

    assert config.get("app") == {"port": 8080, "hosts": ["a"]}


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        ("app: {port: http}", "main.yaml:2:13: option 'app.port': 'http' is not of type 'integer'"),
        ("app: {port: 70000}", "main.yaml:2:13: option 'app.port': 70000 is greater than the maximum of 65535"),
        ("app: {port: 1, hosts: [a, 3]}", "main.yaml:2:27: option 'app.hosts[1]': 3 is not of type 'string'"),
        ("app: {hosts: []}", "main.yaml:2:1: option 'app': 'port' is a required property"),
        ("app: [80]", "main.yaml:2:1: option 'app': [80] is not of type 'object'"),
        ("app: {port: '${host.vars.word}'}", "main.yaml:2:13: option 'app.port': 'x' is not of type 'integer'"),
        ("app: {port: '${host.vars.word}', name: '${host.vars.word}'}", "main.yaml:2:40: option 'app.name': 'x' is too short"),
    ],
)
def test_what_is_not_allowed_is_told_where_it_stands(directory, main, expected):
    assert expected in said(directory, main)


def test_a_part_of_another_file_is_told_there(directory):
    assert said(directory, "app: {port: 1}", b="app: {name: x}") == ["b.yaml:1:13: option 'app.name': 'x' is too short"]


def test_the_remedy_says_where_the_option_is_declared(directory):
    (error,) = directory.errors("imports: [app]\napp: {port: http}\n", **{"modules__app.py": MODULE})

    assert error.remedy.startswith("`deployer schema` shows what may stand here. The option is declared at ")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{'type': 'objekt'}", "option 'app': its JSON Schema is none: 'objekt' is not valid under any of the given schemas"),
        (
            "{'$ref': 'http://127.0.0.1:1/schema.json'}",
            "option 'app': its JSON Schema refers to 'http://127.0.0.1:1/schema.json', which is not in it",
        ),
    ],
)
def test_a_schema_that_is_none_is_the_modules_fault(directory, document, expected):
    option = f"module.option('app', types.json_schema({document}, ''), '')"
    module = f"from deployer.config import Module, types\nmodule = Module('app', '')\n{option}\n"

    (error,) = said(directory, "app: {}", module)

    assert f"the module 'app' failed: {expected}" in error
