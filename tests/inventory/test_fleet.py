"""What a good inventory means: merging, precedence, defaults, selectors, and Ansible's formats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.inventory import Connection, Fleet, Host, SelectorError, load_fleet

INVENTORY = """\
vars: {a: top, b: top, c: top, d: top}
connection: {user: admin, identity_files: keys/id}
hosts:
  web[01:03]: {labels: {zone: a}}
  db1: {vars: {d: host}, connection: {address: 10.0.0.9, port: 2222}, labels: {zone: b}}
groups:
  servers: {children: [web, db], vars: {b: parent, c: parent, d: parent}}
  web: {hosts: ['web[01:03]'], configuration: web.yaml}
  db: {hosts: [db1], vars: {c: child, d: child}}
"""


@pytest.fixture
def fleet(tmp_path):
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "packages.yaml").write_text("")
    (tmp_path / "web.yaml").write_text("")
    return load_fleet([tmp_path / "inventory.yaml"])


def test_hosts_come_in_the_order_of_the_file_with_padding(fleet):
    assert list(fleet.hosts) == ["web01", "web02", "web03", "db1"]


def test_hosts_beat_children_beat_parents_beat_the_top(fleet):
    assert dict(fleet.hosts["db1"].vars) == {"a": "top", "b": "parent", "c": "child", "d": "host"}
    assert fleet.hosts["db1"].groups == ("servers", "db")


def test_connections_are_merged_key_by_key_and_paths_start_at_the_file(fleet, tmp_path):
    connection = fleet.hosts["db1"].connection

    assert (connection.address, connection.port, connection.user) == ("10.0.0.9", 2222, "admin")
    assert connection.identity_files == (tmp_path / "keys" / "id",)
    assert fleet.hosts["web01"].connection.address == "web01"
    assert fleet.hosts["web01"].configuration == tmp_path / "web.yaml"
    assert fleet.packages == tmp_path / "packages.yaml"


def test_a_second_source_adds_what_it_says(fleet, tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "inventory.yaml").write_text("hosts: {web01: {connection: {address: 10.9.9.9, known_hosts: known}}}\n")

    both = load_fleet([tmp_path / "inventory.yaml", tmp_path / "lab" / "inventory.yaml"])

    connection = both.hosts["web01"].connection
    assert (connection.address, connection.user, connection.known_hosts) == ("10.9.9.9", "admin", tmp_path / "lab" / "known")
    assert both.hosts["web01"].labels == {"zone": "a"}


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("web01", "web01"),
        ("web*", "web01 web02 web03"),
        ("@servers", "web01 web02 web03 db1"),
        ("zone=b", "db1"),
        ("~web0[13]$", "web01 web03"),
        ("@web[0]", "web01"),
        ("@web[1:2]", "web02 web03"),
        ("@web[-1]", "web03"),
        ("db1,web01", "web01 db1"),
        ("db1:web01", "web01 db1"),
        ("@servers:&zone=a:!web02", "web01 web03"),
        ("all:!@web", "db1"),
    ],
)
def test_selectors(fleet, selector, names):
    assert " ".join(host.name for host in fleet.select(selector)) == names


@pytest.mark.parametrize(
    ("selector", "remedy"),
    [
        ("wbe01", "`web01`"),
        ("@wbe", "`@web`"),
        ("zone=c", "`zone=a`"),
        ("web*:!web9", "web0"),
        ("!web01", "`all:!web01`"),
        ("", "`all`"),
        ("@web:&@db", "none is left"),
    ],
)
def test_a_selector_that_picks_nothing_is_an_error_with_a_way_out(fleet, selector, remedy):
    with pytest.raises(SelectorError) as caught:
        fleet.select(selector)

    assert remedy in caught.value.remedy


NAMES = st.lists(st.from_regex(r"[a-c][0-9]", fullmatch=True), min_size=1, max_size=12, unique=True)


@given(NAMES, st.data())
def test_union_intersection_and_exclusion_are_those_of_sets(names, data):
    fleet = Fleet({name: Host(name=name, connection=Connection(name)) for name in names})
    some = st.lists(st.sampled_from(names), min_size=1, unique=True)
    one, two = data.draw(some), data.draw(some)

    def chosen(selector):
        try:
            return [host.name for host in fleet.select(selector)]
        except SelectorError:
            return []

    first = ",".join(one)
    assert chosen(f"{first},{','.join(two)}") == [name for name in names if name in {*one, *two}]
    assert chosen(f"{first}:&{two[0]}") == [name for name in names if name in one and name == two[0]]
    assert chosen(f"{first}:!{':!'.join(two)}") == [name for name in names if name in one and name not in two]


@given(st.integers(100, 300), st.integers(0, 40), st.integers(1, 7), st.integers(1, 5))
def test_a_range_is_every_number_from_first_to_last(tmp_path_factory, first, more, step, width):
    text = f"{first:0{width}d}:{first + more:0{width}d}:{step}"
    file = tmp_path_factory.mktemp("range") / "inventory.yaml"
    file.write_text(f"hosts:\n  'n[{text}]':\n")

    numbers = [int(name[1:]) for name in load_fleet([file]).hosts]

    assert numbers == list(range(first, first + more + 1, step))


def test_ansibles_formats_say_the_same(tmp_path):
    (tmp_path / "hosts.ini").write_text(
        "[web]\nweb[1:2] ansible_user=root ansible_port=2222\n[all:vars]\n"
        "ansible_ssh_common_args='-J bastion'\n[site:children]\nweb\n"
    )
    (tmp_path / "hosts.yaml").write_text(
        "all:\n  vars: {ansible_ssh_common_args: -J bastion}\n  children:\n    site:\n      children:\n        web:\n"
        "          hosts:\n            web[1:2]: {ansible_user: root, ansible_port: 2222}\n"
    )
    (tmp_path / "program").write_text(
        "#!/bin/sh\necho '"
        '{"web": {"hosts": ["web1", "web2"]}, "site": {"children": ["web"]}, "all": {"vars": {"ansible_ssh_common_args": '
        '"-J bastion"}}, "_meta": {"hostvars": {"web1": {"ansible_user": "root", "ansible_port": 2222}, "web2": '
        '{"ansible_user": "root", "ansible_port": 2222}}}}'
        "'\n"
    )
    (tmp_path / "program").chmod(0o755)

    for name in ("hosts.ini", "hosts.yaml", "program"):
        fleet = load_fleet([tmp_path / name])
        assert list(fleet.hosts) == ["web1", "web2"], name
        assert fleet.hosts["web2"].groups == ("site", "web"), name
        connection = fleet.hosts["web2"].connection
        assert (connection.user, connection.port, connection.jump) == ("root", 2222, ("bastion",)), name


def test_variables_beside_an_inventory_count(tmp_path):
    (tmp_path / "hosts.ini").write_text("[web]\nweb1\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yaml").write_text("a: all\nb: all\nc: all\n")
    (tmp_path / "group_vars" / "web.yml").write_text("b: web\nc: web\n")
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "web1").write_text("c: no\n")

    assert dict(load_fleet([tmp_path / "hosts.ini"]).hosts["web1"].vars) == {"a": "all", "b": "web", "c": "no"}
