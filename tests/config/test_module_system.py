"""The module system as NixOS has it: a table of files, in both orders of import, and what comes of them."""

from __future__ import annotations

import pytest

from deployer.config import HostView
from deployer.config.sources import Sources
from deployer.errors import DeployerError

MODULE = '''
"""Options to try things on."""

from deployer.config import Fault, Module, after, default, force, priority, types, when

module = Module("own", "Options to try things on.")
module.option("own.on", types.boolean, "A switch.", default=False)
module.option("own.number", types.integer(), "A number.", default=0)
module.option("own.list", types.list_of(types.string), "A list.", default=[])
module.option("own.names", types.attributes_of(types.integer()), "Names.", default={})
module.option("own.lines", types.lines, "Lines.", default="")
module.option("own.fixed", types.integer(), "What the module says.", read_only=True)
module.option("own.constant", types.integer(), "What the default says.", default=3, read_only=True)
module.option("own.between", types.integer(), "For modules.", default=1, internal=True)
module.rename("own.old_number", to="own.number")
module.rename("old.list", to="own.list")
module.remove("own.gone", "Say `own.number` instead.")


@module.defines("own.fixed")
def fixed(config):
    return 7


@module.defines("own.list")
def items(config):
    yield after(["module"])
    yield when(config["own.on"], ["on"])


@module.defines("own.names")
def names(config):
    return {"weak": default(1), "strong": force(1), "sixty": priority(60, 1), "on": when(config["own.on"], 1)}
'''

HOST = HostView("web1", groups=("web", "prod"), labels={"zone": "a"}, vars={"on": True, "off": False, "port": 80})
ON = "own: {on: true}\n"

SYSTEM = [
    # what it shows, two files that main.yaml imports, and what comes of it: an option and its value (for either order)
    ("a condition that holds", "when: {if: true, then: {own: {number: 1}}}", "{}", "own.number", 1),
    ("a condition that does not", "when: {if: false, then: {own: {number: 1}}}", "{}", "own.number", 0),
    ("else", "when: {if: false, then: {own: {number: 1}}, else: {own: {number: 2}}}", "{}", "own.number", 2),
    ("a condition on an option", "when: {if: '${config.own.on}', then: {own: {number: 1}}}", ON, "own.number", 1),
    ("a condition on a host's fact", "when: {if: '${host.vars.on}', then: {own: {number: 1}}}", "{}", "own.number", 1),
    ("what does not hold is no conflict", "when: {if: false, then: {own: {number: 1}}}", "own: {number: 2}", "own.number", 2),
    (
        "what does not hold has no priority",
        "when: {if: false, then: {own: {number: !force 1}}}",
        "own: {number: 2}",
        "own.number",
        2,
    ),
    (
        "a priority below a condition",
        "when: {if: true, then: {own: {number: !force 1}}}",
        "own: {number: 2}",
        "own.number",
        1,
    ),
    (
        "a list below a condition is joined",
        "own: {list: [a]}\nwhen: {if: true, then: {own: {list: [b]}}}",
        "{}",
        "own.list",
        ["a", "b", "module"],
    ),
    (
        "mappings below conditions are merged",
        "when: [{if: true, then: {own: {names: {a: 1}}}}, {if: false, then: {own: {names: {b: 1}}}}]",
        "own: {names: {c: 1}}",
        "own.names",
        {"a": 1, "c": 1, "weak": 1, "strong": 1, "sixty": 1},
    ),
    (
        "a condition within a condition",
        "when: {if: true, then: {when: {if: '${config.own.on}', then: {own: {number: 1}}}}}",
        ON,
        "own.number",
        1,
    ),
    (
        "the outer condition holds for the inner",
        "when: {if: false, then: {when: {if: true, then: {own: {number: 1}}}}}",
        "{}",
        "own.number",
        0,
    ),
    (
        "a condition may ask for what its sister defines",
        "own: {on: true}\nwhen: {if: '${config.own.on}', then: {own: {number: 1}}}",
        "{}",
        "own.number",
        1,
    ),
    ("a module's condition", ON, "{}", "own.names", {"weak": 1, "strong": 1, "sixty": 1, "on": 1}),
    ("a module's condition in a list", ON, "own: {list: [a]}", "own.list", ["a", "on", "module"]),
    (
        "a module's weights",
        "own: {names: {weak: 2, strong: 2, sixty: 2}}",
        "own: {names: {sixty: !force 3}}",
        "own.names",
        {"weak": 2, "strong": 1, "sixty": 3},
    ),
    ("a mark on a group of options", "own: !force {number: 1}", "own: {number: 2}", "own.number", 1),
    ("a number on a group", "own: !priority:60 {number: 1}", "own: {number: 2}", "own.number", 1),
    ("a mark of its own in a marked group", "own: !force {number: !default 1}", "own: {number: 2}", "own.number", 2),
    ("an order on a group", "own: !order:1 {list: [a]}", "own: {list: [b]}", "own.list", ["a", "b", "module"]),
    ("weaker than the option's default", "own: {number: !priority:1501 1}", "{}", "own.number", 0),
    ("as strong as the option's default", "own: {number: !priority:1500 0}", "{}", "own.number", 0),
    ("an old name", "own: {old_number: 1}", "{}", "own.number", 1),
    ("an old name and the new one agree", "own: {old_number: 1}", "own: {number: 1}", "own.number", 1),
    ("an old name's priority", "own: {old_number: !force 1}", "own: {number: 2}", "own.number", 1),
    ("an old name's list is joined", "old: {list: !before [a]}", "own: {list: [b]}", "own.list", ["a", "b", "module"]),
    (
        "an old name is read",
        "own: {names: !force {a: '${config.own.old_number}', strong: 1}}",
        "own: {number: 4}",
        "own.names",
        {"a": 4, "strong": 1},
    ),
    ("a read-only option", "{}", "{}", "own.fixed", 7),
    ("a read-only default", "own: {number: '${config.own.constant}'}", "{}", "own.number", 3),
    ("an internal option", "own: {between: 2}", "{}", "own.between", 2),
    ("lines of two files", "own: {lines: 'a\n\n'}", "own: {lines: !after b}", "own.lines", "a\nb"),
    (
        "a file with parameters",
        "imports: [{path: own.yaml, with: {name: x, number: 2}}]",
        "{}",
        "own.names",
        {"x": 2, "x-too": 1, "weak": 1, "strong": 1, "sixty": 1},
    ),
    (
        "a file imported with two sets of values",
        "imports: [{path: own.yaml, with: {name: x}}, {path: own.yaml, with: {name: y, number: 5}}]",
        "{}",
        "own.names",
        {"x": 9, "x-too": 1, "y": 5, "y-too": 1, "weak": 1, "strong": 1, "sixty": 1},
    ),
    (
        "a file imported twice with the same values",
        "imports: [{path: listed.yaml, with: {item: x}}]",
        "imports: [{path: listed.yaml, with: {item: x}}, {path: listed.yaml, with: {item: y}}]",
        "own.list",
        (["x", "y", "module"], ["x", "y", "module"]),
    ),
    ("a disabled file", "imports: [three.yaml]", "disabled_modules: three.yaml", "own.number", 0),
    ("a disabled file's imports", "imports: [importing.yaml]", "disabled_modules: [importing.yaml]", "own.number", 0),
    (
        "an assertion",
        "assertions: {a: {that: '${config.own.on}', message: off}}",
        ON,
        "own.on",
        True,
    ),
]
FILES = {
    "own": "parameters: {name: , number: {default: 9}}\n"
    "own: {names: {'${parameters.name}': '${parameters.number}', '${parameters.name}-too': 1}}\n",
    "listed": "parameters: {item: {description: An item.}}\nown: {list: ['${parameters.item}']}\n",
    "three": "own: {number: 3}\n",
    "importing": "imports: [three.yaml]\n",
    "modules__own.py": MODULE,
}


def evaluate(directory, first: str, second: str = "{}", *, turned: bool = False):
    order = "b.yaml, a.yaml" if turned else "a.yaml, b.yaml"
    return directory.evaluate(f"imports: [own, {order}]\n", HOST, a=first, b=second, **FILES)


def errors(directory, first: str):
    return directory.errors("imports: [own, a.yaml]\n", HOST, a=first, **FILES)


@pytest.mark.parametrize(
    ("first", "second", "option", "expected"), [case[1:] for case in SYSTEM], ids=[case[0] for case in SYSTEM]
)
@pytest.mark.parametrize("turned", [False, True], ids=["one-way", "other-way"])
def test_files_make_a_configuration_as_in_the_table(directory, first, second, option, expected, turned):
    value = evaluate(directory, first, second, turned=turned).get(option)

    assert value == (expected[turned] if isinstance(expected, tuple) else expected)


CONDITIONS = [
    ("true", True),
    ("'${host.vars.off}'", False),
    ("[true, '${host.vars.on}']", True),
    ("[true, '${host.vars.off}']", False),
    ("{not: '${host.vars.off}'}", True),
    ("{not: {not: false}}", False),
    ("{all: []}", True),
    ("{any: []}", False),
    ("{any: [false, true]}", True),
    ("{all: [true, {not: true}]}", False),
    ("{equal: ['${host.labels.zone}', a]}", True),
    ("{equal: ['${host.labels.zone}', b]}", False),
    ("{equal: ['${host.vars.port}', 80]}", True),
    ("{equal: ['${host.vars.port}', 80.0]}", True),
    ("{equal: ['${host.name}-x', web1-x]}", True),
    ("{equal: [null, null]}", True),
    ("{equal: [null, '${host.name}']}", False),
    ("{contains: ['${host.groups}', web]}", True),
    ("{contains: ['${host.groups}', we]}", False),
    ("{contains: ['${host.labels}', zone]}", True),
    ("{contains: ['${host.labels}', rack]}", False),
    ("{contains: ['${host.vars}', port]}", True),
    ("{contains: ['${host.name}', web]}", True),
    ("[{contains: ['${host.labels}', rack]}, {equal: ['${host.labels.rack}', 7]}]", False),
    ("{any: [true, '${host.labels.rack}']}", True),
]


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS)
def test_conditions(directory, condition, expected):
    config = evaluate(directory, f"when: {{if: {condition}, then: {{own: {{number: 1}}}}, else: {{own: {{number: 2}}}}}}")

    assert config.get("own.number") == (1 if expected else 2)


def test_hosts_that_differ_in_what_a_condition_asks_are_told_apart(directory):
    main = "imports: [own]\nwhen: {if: {contains: ['${host.groups}', web]}, then: {own: {number: 1}}}\n"

    numbers = [
        directory.evaluate(main, HostView("h", groups=groups), **FILES).get("own.number") for groups in [("web",), ("db",)]
    ]

    assert numbers == [1, 0]


def test_an_old_name_is_worth_a_warning(directory):
    (warning,) = evaluate(directory, "own:\n  old_number: 1\n").warnings

    assert warning.endswith("a.yaml:2:3: the option 'own.old_number' is called 'own.number' now")


def test_an_assertion_may_be_a_warning(directory):
    config = evaluate(directory, "assertions: {a: {message: look here, severity: warning}}")

    (warning,) = config.warnings
    assert warning.endswith("a.yaml:1:17: look here")


def test_every_file_that_was_read_is_an_input_also_one_that_is_disabled(directory):
    imports = "imports: [a.yaml, {path: b.yaml, with: {x: 1}}, {path: b.yaml, with: {x: 2}}]\n"
    directory.write(main=imports + "disabled_modules: a.yaml\n", a="imports: c.yaml\n", b="parameters: {x: }\n", c="{}")

    closure = Sources().closure(directory.path / "main.yaml")

    assert [file.path.name for file in closure.sources] == ["b.yaml", "b.yaml", "main.yaml"]
    assert {f"{directory.path}/{name}.yaml" for name in ("main", "a", "b", "c")} <= closure.inputs.paths


DISABLED = "disabled_modules: [tmpfiles]\n"
REPLACEMENT = """
from deployer.config import Module, types

module = Module("tmpfiles", "Another one.")
module.option("tmpfiles.rules", types.unique_list_of(types.word), "Rules.", default=["d /own"])
"""


def test_a_module_of_the_library_can_be_replaced(directory):
    main = DISABLED + "imports: [tmpfiles]\n"

    config = directory.evaluate(main, **{"modules__tmpfiles.py": REPLACEMENT})

    assert config.get("tmpfiles.rules") == ["d /own"]
    assert config.get("etc") == {}


def test_what_a_disabled_module_declared_is_told_where_it_is_needed(directory):
    config = directory.evaluate(DISABLED)

    with pytest.raises(DeployerError) as caught:
        config.get("tmpfiles.rules")
    assert str(caught.value).endswith(
        "main.yaml:1:20: the module 'tmpfiles' is disabled, and what a host is told needs its option 'tmpfiles.rules'"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("own: {fixed: 8}", "a.yaml:1:7: option 'own.fixed' is read-only, and is defined more than once"),
        ("own: {constant: 4}", "a.yaml:1:7: option 'own.constant' is read-only, and is defined more than once"),
        ("own: {gone: 4}", "a.yaml:1:7: the option 'own.gone' was removed"),
        ("when: {if: '${host.labels.rack}', then: {own: {number: 1}}}", "${host.labels.rack}: host 'web1' has no 'labels.rack'"),
        (
            "when: {if: '${config.own.number}', then: {own: {number: 1}}}",
            "the value of 'own.number' depends on itself: own.number → own.number",
        ),
        ("when: {if: true, then: {own: {nmber: 1}}}", "there is no option 'own.nmber'"),
        ("when: {if: false, then: {own: {nmber: 1}}}", "there is no option 'own.nmber'"),
        ("assertions: {a: {message: the moon is full}}", "a.yaml:1:17: the moon is full"),
        (
            "imports: [{path: own.yaml, with: {name: x, number: y}}]",
            "option 'own.names.x' must be a whole number, and is the text 'y'",
        ),
    ],
)
def test_what_is_wrong_is_said(directory, text, expected):
    assert any(expected in str(error) for error in errors(directory, text)), errors(directory, text)
