"""Our own format: what it says, and who wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.inventory import load_fleet
from deployer.inventory.model import Connection
from deployer.inventory.native import CONNECTION_KEYS, ROLLOUT_KEYS

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIDvcmS8kqMnYGHCbFXPVqTRTfgSN1SDLdTnRa8Y7xQz"


@pytest.fixture
def load(tmp_path):
    """Loads inventories from texts, in order."""

    def load(*texts):
        paths = []
        for number, text in enumerate(texts):
            directory = tmp_path / f"source{number}"
            directory.mkdir()
            paths.append(directory / "inventory.yaml")
            paths[-1].write_text(text)
        return load_fleet(paths)

    return load


def test_ranges_make_hosts_in_order(load):
    fleet = load("hosts:\n  web[01:03]: {}\n  db[a:c:2]: {}\n  r[1:2]n[1:2]: {}\n")

    assert list(fleet.hosts) == ["web01", "web02", "web03", "dba", "dbc", "r1n1", "r1n2", "r2n1", "r2n2"]


def test_hosts_may_be_a_list_of_names(load):
    assert list(load("hosts: [web1, 'db[1:2]']\n").hosts) == ["web1", "db1", "db2"]


def test_scalars_keep_their_meaning(load):
    fleet = load("hosts:\n  a:\n    labels: {canary: no, version: 1.10, mode: 0644}\n    vars: {a: no, b: 0644, c: 1:30, d: 7}\n")

    assert fleet.hosts["a"].labels == {"canary": "no", "version": "1.10", "mode": "0644"}
    assert fleet.hosts["a"].vars == {"a": "no", "b": "0644", "c": "1:30", "d": 7}


def test_a_host_wins_over_its_group_and_a_child_over_its_parent(load):
    fleet = load(
        "vars: {top: all, mid: all, low: all, own: all}\n"
        "hosts: {a: {vars: {own: host}}}\n"
        "groups:\n"
        "  child: {hosts: [a], vars: {low: child, own: child}}\n"
        "  parent: {children: [child], vars: {mid: parent, low: parent, own: parent}}\n"
    )

    assert fleet.hosts["a"].vars == {"top": "all", "mid": "parent", "low": "child", "own": "host"}
    assert fleet.hosts["a"].groups == ("parent", "child")
    assert fleet.groups["parent"] == ("a",)


def test_groups_of_one_depth_are_taken_by_name(load):
    fleet = load("hosts: {a: {}}\ngroups:\n  z: {hosts: [a], vars: {x: z}}\n  b: {hosts: [a], vars: {x: b}}\n")

    assert fleet.hosts["a"].vars == {"x": "z"}


def test_depth_is_the_longest_way_down(load):
    fleet = load(
        "hosts: {a: {}}\n"
        "groups:\n"
        "  deep: {hosts: [a], vars: {x: deep}}\n"
        "  mid: {children: [deep], vars: {x: mid}}\n"
        "  zz: {children: [mid, deep], vars: {x: zz}}\n"
    )

    assert fleet.hosts["a"].groups == ("zz", "mid", "deep")
    assert fleet.hosts["a"].vars == {"x": "deep"}


def test_dictionaries_are_replaced_and_connections_and_labels_merge_by_key(load):
    fleet = load(
        "vars: {d: {x: 1, y: 1}}\n"
        "labels: {zone: a, role: web}\n"
        "connection: {user: deploy, port: 2222}\n"
        "hosts: {a: {vars: {d: {x: 2}}, labels: {zone: b}, connection: {port: 22}}}\n"
    )

    host = fleet.hosts["a"]
    assert host.vars == {"d": {"x": 2}}
    assert host.labels == {"zone": "b", "role": "web"}
    assert (host.connection.user, host.connection.port) == ("deploy", 22)


def test_a_later_source_wins_key_by_key(load):
    fleet = load(
        "hosts: {a: {labels: {canary: yes}}, b: {}}\ngroups: {web: {hosts: [a, b]}}\nrollout: {canary: 1, waves: 2}\n",
        "hosts: {a: {connection: {address: 192.0.2.1}}, c: {}}\nrollout: {waves: 3}\n",
    )

    assert list(fleet.hosts) == ["a", "b", "c"]
    assert fleet.hosts["a"].connection.address == "192.0.2.1"
    assert fleet.hosts["a"].labels == {"canary": "yes"}
    assert fleet.rollout == {"canary": 1, "waves": 3}


def test_every_field_of_a_connection_can_be_said(load, tmp_path):
    fleet = load(
        "hosts:\n"
        "  a:\n"
        "    connection:\n"
        "      address: 2001:db8::1\n"
        "      port: 2222\n"
        "      user: deploy\n"
        "      identity_files: keys/id\n"
        "      jump: [admin@bastion:2200, '2001:db8::2']\n"
        "      become: true\n"
        f"      host_keys: ['{KEY} comment']\n"
        "      host_key_alias: a.example.org\n"
        "      known_hosts: known\n"
        "      host_key_policy: accept-new\n"
        "      ssh_config: config\n"
        "      connect_timeout: 3\n"
    )

    base = tmp_path / "source0"
    assert fleet.hosts["a"].connection == Connection(
        address="2001:db8::1",
        port=2222,
        user="deploy",
        identity_files=(base / "keys/id",),
        jump=("admin@bastion:2200", "[2001:db8::2]"),
        become=True,
        host_keys=(KEY,),
        host_key_alias="a.example.org",
        known_hosts=base / "known",
        host_key_policy="accept-new",
        ssh_config=base / "config",
        connect_timeout=3.0,
    )


def test_what_is_not_said_is_left_to_the_ssh_configuration(load):
    assert load("hosts: {a: {}}\n").hosts["a"].connection == Connection("a")


def test_a_jump_host_of_the_inventory_is_reached_as_the_inventory_says(load):
    fleet = load(
        "connection: {jump: bastion}\n"
        "hosts:\n  bastion: {connection: {address: 192.0.2.1, user: admin, port: 2200}}\n  web1: {}\n"
    )

    assert fleet.hosts["web1"].connection.jump == ("admin@192.0.2.1:2200",)
    assert fleet.hosts["bastion"].connection.jump == ()


def test_a_home_is_expanded_in_paths(load, monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")

    fleet = load("hosts: {a: {connection: {identity_files: ~/.ssh/deploy}}}\n")

    assert fleet.hosts["a"].connection.identity_files == (Path("/home/alice/.ssh/deploy"),)


def test_the_configuration_is_that_of_the_nearest_level(load, tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.yaml").write_text("{}\n")

    fleet = load("configuration: ../0.yaml\nhosts: {a: {}, b: {}}\ngroups: {g: {hosts: [b], configuration: ../1.yaml}}\n")

    assert fleet.hosts["a"].configuration == tmp_path / "source0" / "../0.yaml"
    assert fleet.hosts["b"].configuration == tmp_path / "source0" / "../1.yaml"


def test_a_host_knows_where_it_was_first_named(load):
    host = load("hosts:\n  a: {}\n").hosts["a"]

    assert (host.place.line, host.place.column) == (2, 3)


def test_the_keys_of_a_connection_are_the_fields_of_the_type():
    assert set(CONNECTION_KEYS) == set(Connection.__dataclass_fields__)


def test_the_keys_of_a_rollout_are_those_that_rollouts_read():
    from deployer.rollout.strategy import KEYS

    assert set(ROLLOUT_KEYS) == set(KEYS)


def test_a_fleet_of_ten_thousand_hosts_is_selected_from(load):
    fleet = load("hosts:\n  'n[00000:09999]': {labels: {zone: a}}\ngroups: {g: {hosts: ['n[00000:04999]']}}\n")

    assert len(fleet.select("@g:&zone=a:!n00*")) == 4000
