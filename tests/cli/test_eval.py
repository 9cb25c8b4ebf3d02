"""`deployer eval`."""

from __future__ import annotations

import pytest
import yaml

from tests.cli.conftest import QUICKSTART

FLEET = ("-i", str(QUICKSTART / "inventory.yaml"))


def test_a_single_value_is_printed_as_it_is(deployer):
    answer = deployer(*FLEET, "eval", "web1", "systemd.services.hello.service.User")

    assert (answer.code, answer.out) == (0, "hello\n")


def test_everything_is_yaml_that_can_be_read_back(deployer):
    answer = deployer(*FLEET, "eval", "web1")

    values = yaml.safe_load(answer.out)
    assert values["etc"]["motd"]["text"].startswith("web1 is managed by deployer")
    assert values["activation"]["unit_timeout"] == 90.0


def test_a_trace_names_each_definition_with_its_place(deployer):
    answer = deployer(*FLEET, "eval", "web1", "activation", "--trace")

    lines = [line.split() for line in answer.out.splitlines()]
    assert any(line[:2] == ["holds", "normal"] and line[2].startswith(f"{QUICKSTART}/web.yaml:") for line in lines if line)
    assert any(line[:3] == ["-", "its", "default"] and "activation.py" in line[3] for line in lines if line)


def test_as_json_a_trace_has_values_places_and_priorities(deployer):
    document = deployer(*FLEET, "eval", "web1", "checks.page.timeout", "--trace", "--json").document

    (origin,) = document["definitions"]["checks.page.timeout"]
    assert document["host"] == "web1"
    assert document["values"] == {"checks.page.timeout": 5.0}
    assert origin.pop("place")["file"].endswith("checks.py")
    assert origin == {"value": 5.0, "priority": 1500, "holds": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("web*", "etc"), "'web*' means 2 hosts: web1, web2"),
        (("wbe1", "etc"), "web1"),
        (("web1", "ect"), "there is no option 'ect'"),
        (("web1", "etc.modt"), "Did you mean 'etc.motd'"),
    ],
)
def test_what_is_not_there_is_a_configuration_error(deployer, arguments, said):
    answer = deployer(*FLEET, "eval", *arguments)

    assert answer.code == 2
    assert said in answer.err
