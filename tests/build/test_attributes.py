"""What a derivation says of itself, read whether structured or not, and refused where it makes no sense."""

import json
from pathlib import Path

import pytest

from deployer.build.attributes import Attributes
from deployer.build.environment import Machine, shell_declarations, start_of
from deployer.build.errors import AttributeRefused
from deployer.formats import Derivation, Output
from deployer.formats.building import BuildOrder
from deployer.formats.derivation import placeholder
from deployer.sandbox import lay_out
from deployer.sandbox.scratch import furnish


def attributes(environment):
    return Attributes(Derivation("x", {"out": Output()}, environment=environment), "x.drv")


@pytest.mark.parametrize(
    ("given", "text", "strings", "flag"),
    [
        ({}, "", None, False),
        ({"a": ""}, "", (), False),
        ({"a": "1"}, "1", ("1",), True),
        ({"a": " b\n c "}, " b\n c ", ("b", "c"), False),
    ],
)
def test_plain_attributes_are_read_as_nix_reads_them(given, text, strings, flag):
    found = attributes(given)

    assert (found.text("a"), found.strings("a"), found.flag("a")) == (text, strings, flag)


@pytest.mark.parametrize(
    ("document", "method", "expected"),
    [
        ({"a": ["b c", "d"]}, "strings", ("b c", "d")),
        ({}, "strings", None),
        ({"a": True}, "flag", True),
        ({"a": "b"}, "text", "b"),
        ({"a": "b c"}, "strings", None),
        ({"a": [1]}, "strings", None),
        ({"a": 1}, "flag", None),
        ({"a": 1}, "text", None),
    ],
)
def test_structured_attributes_must_have_their_types(document, method, expected):
    found = attributes({"__json": json.dumps(document)})

    if expected is None and document:
        with pytest.raises(AttributeRefused):
            getattr(found, method)("a")
    else:
        assert getattr(found, method)("a") == expected


@pytest.mark.parametrize("text", ["{", "[]", "1", '"x"'])
def test_structured_attributes_that_are_none_are_refused(text):
    with pytest.raises(AttributeRefused, match="__json"):
        attributes({"__json": text}).flag("a")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("it's", "declare a='it'\\''s'"),
        (3, "declare a=3"),
        (-2.0, "declare a=-2"),
        (2.5, None),
        (True, "declare a=1"),
        (False, "declare a="),
        (None, "declare a=''"),
        (["x", 1, False], "declare -a a=('x' 1  )"),
        ([["x"]], None),
        ({"k e": "v"}, "declare -A a=(['k e']='v' )"),
        ({"k": {}}, None),
    ],
)
def test_what_bash_has_a_type_for_is_declared(value, line):
    assert shell_declarations({"a": value, "not-a-name": 1}) == (f"{line}\n" if line else "")


def test_only_a_fixed_output_is_given_something_of_our_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PROXY", "p")
    monkeypatch.delenv("NONE", raising=False)
    machine = Machine("/nix/store", 1)

    def variables(output):
        derivation = Derivation("x", {"out": output}, environment={"impureEnvVars": "PROXY NONE", "PROXY": "own"})
        start = start_of(Attributes(derivation, "x"), {"out": "/nix/store/x"}, {}, machine)
        scratch = tmp_path / str(len(list(tmp_path.iterdir())))
        scratch.mkdir()
        furnish(scratch)
        order = BuildOrder("x", "", (), start.environment, "/nix/store", (), {}, inherited=start.inherited)
        return lay_out(order, Path, scratch).environment

    plain, fixed = variables(Output()), variables(Output("", "sha256", "00"))

    assert (plain.get("PROXY"), plain.get("NONE")) == ("own", None)
    assert (fixed["PROXY"], fixed["NONE"], fixed["NIX_OUTPUT_CHECKED"]) == ("p", "", "1")


def test_a_derivation_cannot_say_where_it_is_built():
    derivation = Derivation("x", {"out": Output()}, environment={"TMPDIR": "/x", "TERM": "dumb", "PATH": "/p", "HOME": "/h"})

    start = start_of(Attributes(derivation, "x"), {"out": placeholder("other")}, {}, Machine("/nix/store", 1))

    found = {name: start.environment[name] for name in ("TMPDIR", "TERM", "PATH", "HOME")}
    assert found == {"TMPDIR": "/build", "TERM": "xterm-256color", "PATH": "/p", "HOME": "/h"}
