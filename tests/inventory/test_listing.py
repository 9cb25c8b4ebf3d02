"""What `ansible-inventory` would answer."""

from __future__ import annotations

import json

import pytest

from deployer.inventory import load_fleet
from deployer.inventory.listing import graph, host_document, list_document

INVENTORY = """\
all:
  hosts: {lonely: {}}
  children:
    prod:
      children:
        web:
          hosts:
            web1: {ansible_host: 192.0.2.1, ansible_port: 2222, ansible_ssh_common_args: -J bastion}
            web2: {x: 1}
"""


@pytest.fixture
def fleet(tmp_path):
    """A small fleet."""
    path = tmp_path / "inventory.yml"
    path.write_text(INVENTORY)
    return load_fleet([path])


def test_the_graph_is_ansibles(fleet):
    assert graph(fleet).splitlines() == [
        "@all:",
        "  |--@ungrouped:",
        "  |  |--lonely",
        "  |--@prod:",
        "  |  |--@web:",
        "  |  |  |--web1",
        "  |  |  |--web2",
    ]


def test_the_list_has_groups_and_the_variables_of_hosts(fleet):
    document = list_document(fleet)

    assert document["all"] == {"children": ["ungrouped", "prod"]}
    assert document["prod"] == {"children": ["web"]}
    assert document["web"] == {"hosts": ["web1", "web2"]}
    assert document["_meta"]["hostvars"]["web2"]["x"] == 1


def test_a_host_has_ansibles_names_for_its_connection(fleet):
    document = host_document(fleet.hosts["web1"])

    assert (document["ansible_host"], document["ansible_port"]) == ("192.0.2.1", 2222)
    assert document["ansible_ssh_common_args"] == "-J bastion"


def test_what_is_listed_can_be_read_back_as_a_programs_answer(fleet, tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(list_document(fleet))}\nEND\n")
    program.chmod(0o755)

    again = load_fleet([program])

    assert {name: host.connection for name, host in again.hosts.items()} == {
        name: host.connection for name, host in fleet.hosts.items()
    }
    assert {group: sorted(names) for group, names in again.groups.items()} == {
        group: sorted(names) for group, names in fleet.groups.items()
    }
