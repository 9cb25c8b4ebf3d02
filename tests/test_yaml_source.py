"""YAML as it is read here: nothing is guessed, everything has a place, and traps are refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deployer.errors import ManyErrors
from deployer.yaml_source import MAX_SIZE, Mapping, Scalar, YamlRefused, load, loads, to_plain, top_mapping

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("0644", "0644"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("0x1F", 31),
        ("0o17", 15),
        ("-7", -7),
        ("0", 0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text, value):
    assert to_plain(loads(f"key: {text}\n", "f")) == {"key": value}
    assert type(to_plain(loads(f"key: {text}\n", "f"))["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n\tb: 2\n", "f:2:1: a tab stands where YAML wants spaces"),
        ("a: 1\na: 2\n", "f:2:1: the key 'a' stands twice; first in line 1"),
        ("x:\n  1: a\n", "f:2:3: the key `1` is not a string"),
        ("true: a\n", "f:1:1: the key `true` is not a string"),
        ("[a]: b\n", "f:1:1: a key is a list or a mapping"),
        ("a: .nan\n", "f:1:4: .nan is not a finite number"),
        ("a: 1e999\n", "f:1:4: 1e999 is not a finite number"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here"),
        ("a: *x\n", "f:1:4: found undefined alias 'x'"),
        ("&a [*a]\n", "f:1:1: an alias makes this a part of itself"),
        (BOMB, "f:4:5: aliases multiply this out of proportion"),
        ("[" * 40 + "]" * 40, "f:1:33: more than 32 levels are nested here"),
        ("[" * 100_000, "f:1:33: more than 32 levels are nested here"),
        ("a: !!python/object:os.system x\n", "f:1:4: the tag !!python/object:os.system is not read"),
        ("a: !!int x\n", "f:1:4: 'x' is not what its tag !!int says"),
        ("a: \x1b[2J\n", "f:1:4: the control character '\\x1b' stands here"),
        ("a: b: c\n", "f:1:5: it is not YAML: mapping values are not allowed"),
        ("a: [1\n", "f:2:1: it is not YAML: "),
    ],
)
def test_what_is_refused_and_where(text, message):
    with pytest.raises(YamlRefused) as caught:
        loads(text, "f")

    assert str(caught.value).startswith(message)


def test_all_that_is_wrong_with_a_file_is_told_together():
    with pytest.raises(ManyErrors) as caught:
        loads("a: 1\na: 2\nb: .inf\n2: c\n", "f")

    assert [str(error.location) for error in caught.value.errors] == ["f:2:1", "f:3:4", "f:4:1"]


def test_local_tags_and_places_survive():
    top = top_mapping(loads("a: !force 1.10\nb: !default\n  c: [x, y]\n", "f"), "it")

    a = top.value["a"]
    assert isinstance(a, Scalar)
    assert (a.tag, a.value, a.text, str(a.place)) == ("!force", 1.1, "1.10", "f:1:4")
    assert isinstance(top.value["b"], Mapping)
    assert (top.value["b"].tag, str(top.value["b"].place_of("c"))) == ("!default", "f:3:3")
    with pytest.raises(YamlRefused, match="the tag !force has no meaning here"):
        to_plain(top)
    assert to_plain(top, ignore_tags=True) == {"a": 1.1, "b": {"c": ["x", "y"]}}


def test_merge_keys_fill_in_what_is_not_said():
    assert to_plain(loads("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n", "f"))["y"] == {"b": 3, "a": 1}


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(YamlRefused, match="it can't be read: No such file"):
        load(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"a: 1\nb: \xe4\n")
    with pytest.raises(YamlRefused, match=r"latin:2:4: it is not UTF-8"):
        load(tmp_path / "latin")
    (tmp_path / "large").write_bytes(b"#" * (MAX_SIZE + 1))
    with pytest.raises(YamlRefused, match="it is larger than 4 MiB"):
        load(tmp_path / "large")


def test_a_list_at_the_top_is_not_a_mapping():
    with pytest.raises(YamlRefused, match="an inventory is a mapping, and this is a list"):
        top_mapping(loads("- a\n", "f"), "an inventory")


@given(st.text(max_size=200))
def test_no_text_does_worse_than_being_refused(text):
    with suppress(YamlRefused, ManyErrors):
        to_plain(loads(text, "f"), ignore_tags=True)


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="this PyYAML has no libyaml")
@pytest.mark.parametrize("file", sorted(Path(__file__).parents[1].glob("inventories/*/*.yaml")), ids=str)
def test_both_parsers_read_the_same(file, monkeypatch):
    fast = load(file)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)

    assert load(file) == fast


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="this PyYAML has no libyaml")
def test_a_file_without_errors_is_read_by_libyaml_alone(monkeypatch):
    monkeypatch.setattr("deployer.yaml_source._PythonLoader", None)

    assert to_plain(loads("a: [1, {b: text}]\n", "f")) == {"a": [1, {"b": "text"}]}
