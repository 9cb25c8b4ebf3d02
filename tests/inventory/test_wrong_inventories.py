"""What is wrong with an inventory is told with its place, in words that are pinned here."""

from __future__ import annotations

import pytest

from deployer.errors import DeployerError, ManyErrors
from deployer.inventory import load_fleet

WEB = "hosts: {web1: }\n"


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("host:\n  web1:\n", "1:1: the inventory has no key `host`", "Did you mean `hosts`?"),
        ("hosts: {web1: {conection: {}}}\n", "1:16: the host 'web1' has no key `conection`", "Did you mean `connection`"),
        ("hosts:\n  web[3:1]:\n", "2:3: the range in 'web[3:1]' is inverted: [3:1]", "Ranges look like web[01:20]"),
        ("hosts:\n  web[1:2]:\n  web2:\n", "3:3: the host 'web2' stands twice; first in line 2", "Keep one"),
        ("hosts:\n  -oProxyCommand=x:\n", "2:3: '-oProxyCommand=x' can't be the name of a host", "A name is letters"),
        ("hosts: {web1: {connection: {port: 65536}}}\n", "1:35: 65536 is not a port", "Write a whole number from 1 to"),
        ("hosts: {web1: {connection: {port: 0}}}\n", "1:35: 0 is not a port", "Write a whole number from 1 to"),
        ("hosts: {web1: {connection: {port: '22 -o'}}}\n", "1:35: '22 -o' is not a port", "Write a whole number from 1 to"),
        ("hosts: {web1: {connection: {address: -x}}}\n", "1:38: '-x' is neither a host name nor an IP address", "Write the name"),
        ("hosts: {web1: {connection: {address: $(id)}}}\n", "1:38: '$(id)' is neither a host name nor an IP", "Write the name"),
        ("hosts: {web1: {connection: {address: 'fe80::1%$(id)'}}}\n", "1:38: 'fe80::1%$(id)' is neither", "Write the name"),
        ('hosts: {web1: {connection: {address: "a\\nb"}}}\n', "1:38: 'a\\nb' is neither a host name nor", "Write the name"),
        ("hosts: {web1: {connection: {user: -l}}}\n", "1:35: '-l' can't be the name of a user", "A user's name is letters"),
        ("hosts: {web1: {connection: {jump: 'a;id'}}}\n", "1:35: 'a;id' is not a jump host", "Write HOST, USER@HOST"),
        (f"{WEB}groups:\n  web: {{hosts: [web2]}}\n", "3:17: the group 'web' names the host 'web2'", "Did you mean `web1`?"),
        (f"{WEB}groups:\n  web: {{children: [wbe]}}\n", "3:20: there is no group 'wbe'", "Did you mean `web`?"),
        (
            f"{WEB}groups:\n  a: {{children: [b]}}\n  b: {{children: [a]}}\n",
            "4:18: the group 'a' is a part of itself: a → b → a",
            "Remove one of these",
        ),
        (f"{WEB}rollout: {{canari: 1}}\n", "2:11: `rollout` has no key `canari`", "Did you mean `canary`?"),
        ("hosts: {web1: {vars: {a: !vault x}}}\n", "1:26: the tag !vault has no meaning here", "Remove it"),
        ("a: 1\na: 2\n", "2:1: the key 'a' stands twice; first in line 1", "Keep one of the two."),
    ],
)
def test_a_mistake_is_told_where_it_is(tmp_path, text, message, remedy):
    (tmp_path / "inventory.yaml").write_text(text)

    with pytest.raises(DeployerError) as caught:
        load_fleet([tmp_path / "inventory.yaml"])

    assert str(caught.value).startswith(f"{tmp_path}/inventory.yaml:{message}")
    assert caught.value.remedy.startswith(remedy)
    assert caught.value.exit_code == 2


def test_all_mistakes_of_all_sources_are_told_together(tmp_path):
    (tmp_path / "one.yaml").write_text("hosts: {web1: {connection: {port: 0, user: 'a b'}}}\n")
    (tmp_path / "two.yaml").write_text("hosts: {web2: {connection: {address: -x}}}\n")

    with pytest.raises(ManyErrors) as caught:
        load_fleet([tmp_path / "one.yaml", tmp_path / "two.yaml", tmp_path / "three.yaml"])

    assert [str(error.location).removeprefix(f"{tmp_path}/") for error in caught.value.errors] == [
        "one.yaml:1:35",
        "one.yaml:1:44",
        "two.yaml:1:38",
        "three.yaml",
    ]
