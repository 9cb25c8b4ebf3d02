"""How definitions of one option become its value: a table, in both orders of import, and laws."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.config import types
from deployer.config.definitions import AFTER, BEFORE, DEFAULT, FORCE, NORMAL, Definition, define, defined
from deployer.config.merging import NOTHING, Scope
from deployer.errors import DeployerError

CONFLICT = object()
SECTION = types.attributes_of(types.OneOrMany(types.setting))
PERSON = types.submodule(
    "a person", name=types.Field(types.string, "", "nobody"), tags=types.Field(types.list_of(types.string), "", [])
)

BY_SCHEMA = types.json_schema(
    {
        "type": "object",
        "properties": {"port": {"type": "integer"}, "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}}},
        "additionalProperties": False,
        "$defs": {"tag": {"type": "string", "maxLength": 3}},
    },
    "a service",
)

MERGES = [
    # (type, definitions in YAML of two files, the value; where it depends on the order, for either order)
    ("equal scalars agree", types.integer(), (1, 1), 1),
    ("different scalars conflict", types.integer(), (1, 2), CONFLICT),
    ("force holds against normal", types.integer(), ("!force 1", 2), 1),
    ("two different forces conflict", types.integer(), ("!force 1", "!force 2"), CONFLICT),
    ("normal holds against default", types.integer(), ("!default 1", 2), 2),
    ("force holds against default", types.integer(), ("!default 1", "!force 2"), 2),
    ("two different defaults conflict", types.integer(), ("!default 1", "!default 2"), CONFLICT),
    ("a number stronger than normal", types.integer(), ("!priority:99 1", 2), 1),
    ("a number weaker than normal", types.integer(), ("!priority:101 1", 2), 2),
    ("normal is 100", types.integer(), ("!priority:100 1", 2), CONFLICT),
    ("force is 50", types.integer(), ("!priority:49 1", "!force 2"), 1),
    ("default is 1000", types.integer(), ("!priority:999 1", "!default 2"), 1),
    ("two different values of one number conflict", types.integer(), ("!priority:7 1", "!priority:7 2"), CONFLICT),
    ("null and null", types.null_or(types.integer()), (None, None), None),
    ("null and a value conflict", types.null_or(types.integer()), (None, 1), CONFLICT),
    ("a forced null", types.null_or(types.integer()), ("!force null", 1), None),
    ("a value over a default null", types.null_or(types.integer()), ("!default null", 1), 1),
    ("lists are joined in order", types.list_of(types.string), (["a"], ["b"]), (["a", "b"], ["b", "a"])),
    ("before comes first", types.list_of(types.string), (["a"], "!before [b]"), ["b", "a"]),
    ("after comes last", types.list_of(types.string), ("!after [a]", ["b"]), ["b", "a"]),
    ("before and after", types.list_of(types.string), ("!after [a]", "!before [b]"), ["b", "a"]),
    ("before is 500", types.list_of(types.string), ("!order:499 [a]", "!before [b]"), ["a", "b"]),
    ("no order is 1000", types.list_of(types.string), ("!order:1001 [a]", ["b"]), ["b", "a"]),
    ("after is 1500", types.list_of(types.string), ("!order:1501 [a]", "!after [b]"), ["b", "a"]),
    ("a priority and an order", types.list_of(types.string), ("!force+after [a]", "!force [b]"), ["b", "a"]),
    ("numbers for both", types.list_of(types.string), ("!order:9+priority:9 [a]", "!priority:9 [b]"), ["a", "b"]),
    ("an order is no priority", types.list_of(types.string), ("!force [a]", "!before [b]"), ["a"]),
    ("a forced list stands alone", types.list_of(types.string), ("!force [a]", ["b"]), ["a"]),
    ("a default list gives way", types.list_of(types.string), ("!default [a]", ["b"]), ["b"]),
    ("a unique list has each once", types.unique_list_of(types.string), (["a"], ["a"]), ["a"]),
    ("a unique list keeps the first", types.unique_list_of(types.string), (["a", "b"], "!before [b, c]"), ["b", "c", "a"]),
    ("lines are joined in order", types.lines, ("a", "!before b"), "b\na"),
    ("lines that end have no other end", types.lines, ('"a\\n"', "!after b"), "a\nb"),
    ("no lines are nothing", types.lines, ("''", "b"), "b"),
    ("a forced text stands alone", types.lines, ("!force a", "b"), "a"),
    ("a default text gives way", types.lines, ("!default a", "b"), "b"),
    ("texts with a separator", types.separated(",", "names"), ("a", "!before b"), "b,a"),
    ("mappings are merged by key", types.attributes_of(types.integer()), ({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
    ("equal keys must agree", types.attributes_of(types.integer()), ({"a": 1}, {"a": 2}), CONFLICT),
    ("a key's own force", types.attributes_of(types.integer()), ("{a: !force 1}", {"a": 2, "b": 3}), {"a": 1, "b": 3}),
    ("a forced mapping stands alone", types.attributes_of(types.integer()), ("!force {a: 1}", {"b": 2}), {"a": 1}),
    ("a default mapping gives way whole", types.attributes_of(types.integer()), ("!default {a: 1}", {"b": 2}), {"b": 2}),
    ("submodules recurse", PERSON, ({"name": "x"}, {"tags": ["t"]}), {"name": "x", "tags": ["t"]}),
    ("submodules' lists are joined", PERSON, ({"tags": ["a"]}, "{tags: !before [b]}"), {"name": "nobody", "tags": ["b", "a"]}),
    ("submodules' scalars conflict", PERSON, ({"name": "x"}, {"name": "y"}), CONFLICT),
    ("a field's default", PERSON, ({}, {}), {"name": "nobody", "tags": []}),
    ("a field's !default gives way", PERSON, ("{name: !default x}", {"name": "y"}), {"name": "y", "tags": []}),
    ("nothing is an empty submodule", PERSON, (None, {"name": "y"}), {"name": "y", "tags": []}),
    ("one and many are joined", SECTION, ({"After": "a"}, "{After: !after [b]}"), {"After": ["a", "b"]}),
    ("a section's directives are merged", types.unit_section, ({"Nice": 1}, {"User": "a"}), {"Nice": "1", "User": "a"}),
    ("a section's lists are joined", types.unit_section, ({"Env": ["a"]}, "{Env: !after [b]}"), {"Env": ["a", "b"]}),
    ("a section's yes is true", types.unit_section, ({"PrivateTmp": True}, {"PrivateTmp": "yes"}), {"PrivateTmp": "yes"}),
    ("by schema: mappings recurse", BY_SCHEMA, ({"port": 1}, {"tags": ["a"]}), {"port": 1, "tags": ["a"]}),
    ("by schema: scalars must agree", BY_SCHEMA, ({"port": 1}, {"port": 2}), CONFLICT),
    ("by schema: lists are joined", BY_SCHEMA, ({"tags": ["a"]}, "{tags: !before [b]}"), {"tags": ["b", "a"]}),
    ("by schema: a forced part", BY_SCHEMA, ("{port: !priority:60 1}", {"port": 2}), {"port": 1}),
    ("sizes of equal bytes agree", types.size, ("1K", 1024), 1024),
    ("single directives must agree", SECTION, ({"Nice": 1}, {"Nice": 2}), CONFLICT),
    ("one of: both of the same kind", types.one_of(types.integer(), types.list_of(types.integer())), ([1], "!after [2]"), [1, 2]),
    ("one of: of different kinds", types.one_of(types.integer(), types.list_of(types.integer())), (1, [1]), CONFLICT),
    ("anything: mappings recurse", types.anything, ({"a": {"b": 1}}, {"a": {"c": 2}}), {"a": {"b": 1, "c": 2}}),
    ("anything: scalars must agree", types.anything, ({"a": 1}, {"a": 2}), CONFLICT),
    ("durations of equal length agree", types.duration, (60, "1min"), 60.0),
]


def parse(value: object, file: str) -> Definition:
    """A definition as a file gives it; a text is YAML."""
    if not isinstance(value, str):
        return define(value, None)
    from deployer import yaml_source
    from deployer.config.configuration_file import definition_of

    errors: list[DeployerError] = []
    made = definition_of(yaml_source.loads(value, file), errors)
    assert errors == []
    return made


def merged(kind: types.OptionType, definitions: list[Definition]) -> Any:
    """The value, or CONFLICT."""
    scope = Scope(lambda definition, note: definition.plain())
    value = kind.merge("option", definitions, scope)
    if scope.failed:
        assert [type(error).__name__ for error in scope.errors] == ["Conflict"]
        return CONFLICT
    return value


@pytest.mark.parametrize(("kind", "values", "expected"), [case[1:] for case in MERGES], ids=[case[0] for case in MERGES])
@pytest.mark.parametrize("turned", [False, True], ids=["one-way", "other-way"])
def test_definitions_merge_as_in_the_table(kind, values, expected, turned):
    definitions = [parse(value, f"{index}.yaml") for index, value in enumerate(values)]

    value = merged(kind, definitions[::-1] if turned else definitions)

    assert value == (expected[turned] if isinstance(expected, tuple) else expected)


def test_a_module_may_give_priorities_and_order_too():
    from deployer.config import after, before, default, force, order, priority

    assert define(force(1), None).priority == FORCE
    assert define(default(1), None).priority == DEFAULT
    assert define(before([1]), None).order == BEFORE
    assert define({"a": after([1])}, None).value["a"].order == AFTER
    assert define(priority(70, 1), None).priority == 70
    assert define(order(70, [1]), None).order == 70
    both = define(force(before([1])), None)
    assert (both.priority, both.order) == (FORCE, BEFORE)


def test_a_module_may_define_something_only_under_a_condition():
    from deployer.config import force, when

    assert defined(when(False, 1), None) == []
    assert defined(force(when(False, 1)), None) == []
    assert [one.plain() for one in defined(when(True, None), None)] == [None]
    assert define({"a": when(False, 1), "b": [when(True, 2), when(False, 3)]}, None).plain() == {"b": [2]}


def test_a_module_that_yields_gives_several_definitions():
    from deployer.config import before, when

    def several():
        yield ["a"]
        yield before(["b"])
        yield when(False, ["c"])

    assert merged(types.list_of(types.string), defined(several(), None)) == ["b", "a"]


scalars = st.integers(0, 2)
priorities = st.one_of(st.sampled_from([FORCE, NORMAL, DEFAULT]), st.integers(0, 9999))
weighted = st.builds(lambda value, priority: Definition(value, None, priority, literal=True), scalars, priorities)
mappings = st.builds(
    lambda value, priority: Definition(value, None, priority, literal=True),
    st.dictionaries(st.sampled_from("abc"), weighted, max_size=3),
    priorities,
)


@given(st.lists(weighted, min_size=1, max_size=4))
def test_scalars_do_not_depend_on_the_order(definitions):
    values = [merged(types.integer(), [*order]) for order in permutations(definitions)]

    assert all(value == values[0] for value in values)


@given(st.lists(mappings, min_size=1, max_size=3))
def test_mappings_do_not_depend_on_the_order(definitions):
    scopes = []
    for order in permutations(definitions):
        scope = Scope(lambda definition, note: definition.plain())
        value = types.attributes_of(types.integer()).merge("option", [*order], scope)
        scopes.append("conflict" if scope.failed else value)

    assert all(value == scopes[0] for value in scopes)


lists = st.lists(st.integers(0, 9), max_size=3)


@given(st.lists(lists, min_size=1, max_size=4), st.integers(1, 3))
def test_joining_lists_is_associative(parts, at):
    kind = types.list_of(types.integer())
    whole = merged(kind, [define(part, None) for part in parts])
    left = merged(kind, [define(part, None) for part in parts[:at]])
    rest = [define(part, None) for part in parts[at:]]

    assert merged(kind, [define(left, None), *rest]) == whole


@given(st.lists(st.tuples(lists, priorities, st.integers(0, 9999)), min_size=1, max_size=4, unique_by=lambda one: one[2]))
def test_lists_of_different_orders_do_not_depend_on_the_order_of_files(parts):
    definitions = [Definition([define(item, None) for item in part], None, rank, at) for part, rank, at in parts]
    values = [merged(types.list_of(types.integer()), [*turned]) for turned in permutations(definitions)]

    best = min(rank for _, rank, _ in parts)
    strong = sorted((at, part) for part, rank, at in parts if rank == best)
    assert all(value == [item for _, part in strong for item in part] for value in values)


@given(st.lists(st.text("ab\n", max_size=3), min_size=2, max_size=4), st.integers(1, 3))
def test_joining_lines_is_associative(parts, at):
    whole = merged(types.lines, [define(part, None) for part in parts])
    left = merged(types.lines, [define(part, None) for part in parts[:at]])

    assert merged(types.lines, [define(left, None), *(define(part, None) for part in parts[at:])]) == whole


@given(st.lists(st.dictionaries(st.sampled_from("abc"), scalars), min_size=2, max_size=4))
def test_merging_mappings_is_associative(parts):
    kind = types.attributes_of(types.list_of(types.integer()))
    definitions = [{key: [value] for key, value in part.items()} for part in parts]
    whole = merged(kind, [define(part, None) for part in definitions])
    left = merged(kind, [define(part, None) for part in definitions[:2]])

    assert merged(kind, [define(left, None), *(define(part, None) for part in definitions[2:])]) == whole


def test_a_default_of_a_field_is_not_shared():
    first, second = merged(PERSON, [define({}, None)]), merged(PERSON, [define({}, None)])

    first["tags"].append("x")

    assert second["tags"] == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(5, 5.0), (0.5, 0.5), ("90s", 90.0), ("1min 30s", 90.0), ("2h", 7200.0), ("500ms", 0.5), ("1d", 86400.0)],
)
def test_durations_are_seconds(text, seconds):
    assert merged(types.duration, [define(text, None)]) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1 fortnight", -1, True, None, "1e3s", [1], 1e10])
def test_what_is_no_duration_is_refused(text):
    scope = Scope(lambda definition, note: definition.plain())

    assert types.duration.merge("option", [define(text, None)], scope) is NOTHING
    assert [type(error).__name__ for error in scope.errors] == ["WrongType"]
