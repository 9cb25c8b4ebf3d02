"""What is told of a value: the definitions that make it, their places, and which of them hold."""

from __future__ import annotations

import pytest

from deployer.config import Evaluator
from deployer.errors import DeployerError
from tests.conftest import HOST

BASE = """
activation: {check_deadline: 30}
etc:
  motd: {text: base}
  a.b: {text: dotted}
systemd:
  services:
    web:
      wanted_by: [multi-user.target]
      service: {ExecStart: /bin/web, User: nobody}
"""
MAIN = """
imports: base.yaml
activation: {check_deadline: !force 10}
etc:
  motd: {text: !default weaker}
systemd:
  services:
    web:
      wanted_by: !before [basic.target]
"""


def explain(directory, packages, path, main=MAIN):
    return Evaluator(packages=packages).explain(HOST, directory.write(main=main, base=BASE), path)


def told(explained):
    """Where each definition stands, as what, and whether it holds."""
    return [(one.place.file.rpartition("/")[2], one.place.line, one.weight, one.value, one.holds) for one in explained.origins]


def test_the_stronger_definition_holds_and_the_weaker_is_told(directory, packages):
    found = explain(directory, packages, "activation.check_deadline")["activation.check_deadline"]

    assert found.value == 10.0
    assert told(found) == [("main.yaml", 3, "force", 10, True), ("base.yaml", 2, "normal", 30, False)]


def test_what_stands_below_a_condition_that_does_not_hold_is_told(directory, packages):
    main = MAIN + "when:\n  if: false\n  then:\n    activation: {check_deadline: !force 5}\n"
    found = explain(directory, packages, "activation.check_deadline", main)["activation.check_deadline"]

    assert found.value == 10.0
    assert [(one.weight, one.value, one.holds) for one in found.origins] == [
        ("force", 10, True),
        ("normal", 30, False),
        ("unmet", 5, False),
    ]


def test_a_default_that_others_outweigh_does_not_hold(directory, packages):
    found = explain(directory, packages, "etc.motd.text")["etc.motd.text"]

    assert found.value == "base"
    assert told(found) == [("base.yaml", 4, "normal", "base", True), ("main.yaml", 5, "default", "weaker", False)]


def test_lists_have_several_definitions_that_hold(directory, packages):
    path = "systemd.services.web.wanted_by"

    found = explain(directory, packages, path)[path]

    assert found.value == ["basic.target", "multi-user.target"]
    assert {one[0]: one[4] for one in told(found)} == {"main.yaml": True, "base.yaml": True}


def test_what_nobody_defines_comes_from_where_its_default_is_declared(directory, packages):
    found = explain(directory, packages, "activation.unit_timeout")["activation.unit_timeout"]

    assert found.value == 90.0
    assert [one[0::2] for one in told(found)] == [("activation.py", "its default", True)]


def test_what_stands_in_a_definition_that_is_outweighed_does_not_hold(directory, packages):
    main = "imports: base.yaml\netc: !force {motd: {text: mine}}\n"

    found = explain(directory, packages, "etc", main)["etc"]
    inner = explain(directory, packages, "etc.motd.text", main)["etc.motd.text"]

    assert [*found.value] == ["motd"]
    assert [(one[0], one[4]) for one in told(inner)] == [("main.yaml", True), ("base.yaml", False)]


def test_a_name_may_hold_dots(directory, packages):
    assert explain(directory, packages, "etc.a.b.text")["etc.a.b.text"].value == "dotted"


def test_a_namespace_means_all_options_below_it(directory, packages):
    found = explain(directory, packages, "systemd")

    assert {"systemd.services", "systemd.timers"} <= set(found)
    assert all(path.startswith("systemd.") for path in found)


def test_what_is_wrong_elsewhere_is_not_told(directory, packages):
    main = "users: {a: {uid: many}}\nactivation: {check_deadline: 20}\n"

    assert explain(directory, packages, "activation.check_deadline", main)["activation.check_deadline"].value == 20.0
    with pytest.raises(DeployerError, match=r"users\.a\.uid"):
        explain(directory, packages, "users", main)


@pytest.mark.parametrize(
    ("path", "remedy"),
    [("activatoin", "'activation'"), ("activation.check_deadlin", "'activation.check_deadline'"), ("etc.modt", "'etc.motd'")],
)
def test_a_wrong_name_is_answered_with_the_nearest(directory, packages, path, remedy):
    with pytest.raises(DeployerError) as caught:
        explain(directory, packages, path)

    assert remedy in caught.value.remedy
