"""Inventories that are wrong, and exactly what is said about each."""

from __future__ import annotations

import pytest

from deployer.errors import DeployerError, ExitCode, ManyErrors
from deployer.inventory import load_fleet


def told(path):
    """What loading says: `line:column: message`, one an error."""
    with pytest.raises(DeployerError) as caught:
        load_fleet([path])
    error = caught.value
    assert error.exit_code == ExitCode.USAGE
    members = error.errors if isinstance(error, ManyErrors) else (error,)
    assert all(member.remedy for member in members)
    return [str(member).replace(f"{path}:", "") for member in members]


NATIVE = {
    "unknown key at the top": ("host: {web1: {}}\n", "1:1: the inventory has no key `host`"),
    "unknown key of a host": ("hosts:\n  web1: {adress: 192.0.2.1}\n", "2:10: the host 'web1' has no key `adress`"),
    "unknown key of a connection": (
        "hosts:\n  web1: {connection: {prot: 22}}\n",
        "2:23: `connection` has no key `prot`",
    ),
    "unknown key of the rollout": ("hosts: {a: {}}\nrollout: {canery: 1}\n", "2:11: `rollout` has no key `canery`"),
    "hosts are text": ("hosts: web1\n", "1:8: `hosts` is to be a mapping, and this is the text 'web1'"),
    "the top is a list": ("- web1\n", "1:1: an inventory is a mapping, and this is a list"),
    "children are text": (
        "hosts: {a: {}}\ngroups: {g: {children: x}}\n",
        "2:24: `children` of the group 'g' is to be a list of names, and this is the text 'x'",
    ),
    "a label is a list": ("hosts: {a: {labels: {zone: [a]}}}\n", "1:28: the label `zone` is to be text, and this is a list"),
    "inverted range": ("hosts: {'web[3:1]': {}}\n", "1:9: the range in 'web[3:1]' is inverted: [3:1]"),
    "inverted letters": ("hosts: {'db[f:a]': {}}\n", "1:9: the range in 'db[f:a]' is inverted: [f:a]"),
    "unequal width": ("hosts: {'web[01:100]': {}}\n", "1:9: the range in 'web[01:100]' has ends of unequal width: [01:100]"),
    "no range": ("hosts: {'web[1-3]': {}}\n", "1:9: the range in 'web[1-3]' is not a range: [1-3]"),
    "step of 0": ("hosts: {'web[1:3:0]': {}}\n", "1:9: the range in 'web[1:3:0]' has a step of 0: [1:3:0]"),
    "huge range": (
        "hosts: {'w[0:9999999]': {}}\n",
        "1:9: the range in 'w[0:9999999]' stands for 10000000 names, more than 65536",
    ),
    "huge product": (
        "hosts: {'w[0:999][0:999]': {}}\n",
        "1:9: the range in 'w[0:999][0:999]' stands for 1000000 names, more than 65536",
    ),
    "open bracket": ("hosts: {'web[1:3': {}}\n", "1:9: the range in 'web[1:3' has brackets that do not match"),
    "duplicate by ranges": (
        "hosts:\n  web[1:3]: {}\n  web2: {}\n",
        "3:3: the host 'web2' stands twice; first in line 2",
    ),
    "duplicate key": ("hosts:\n  web1: {}\n  web1: {}\n", "3:3: the key 'web1' stands twice; first in line 2"),
    "a name that is an option": ("hosts: {-oProxyCommand=x: {}}\n", "1:9: '-oProxyCommand=x' can't be the name of a host"),
    "a name with a command": ("hosts: {'a;id': {}}\n", "1:9: 'a;id' can't be the name of a host"),
    "a name with a substitution": ("hosts: {'$(id)': {}}\n", "1:9: '$(id)' can't be the name of a host"),
    "a name with a newline": ('hosts: {"a\\nb": {}}\n', "1:9: 'a\\nb' can't be the name of a host"),
    "an address that is an option": (
        "hosts: {a: {connection: {address: -oProxyCommand=x}}}\n",
        "1:35: '-oProxyCommand=x' is neither a host name nor an IP address",
    ),
    "a zone with a command": (
        "hosts: {a: {connection: {address: 'fe80::1%$(id)'}}}\n",
        "1:35: 'fe80::1%$(id)' is neither a host name nor an IP address",
    ),
    "a user that is an option": ("hosts: {a: {connection: {user: -l}}}\n", "1:32: '-l' can't be the name of a user"),
    "port 0": ("hosts: {a: {connection: {port: 0}}}\n", "1:32: 0 is not a port"),
    "port 65536": ("hosts: {a: {connection: {port: 65536}}}\n", "1:32: 65536 is not a port"),
    "port with an option": ("hosts: {a: {connection: {port: 22 -o}}}\n", "1:32: '22 -o' is not a port"),
    "a jump host that is an option": (
        "hosts: {a: {connection: {jump: '-oProxyCommand=x'}}}\n",
        "1:32: '-oProxyCommand=x' is not a jump host",
    ),
    "a key that is none": (
        "hosts: {a: {connection: {host_keys: [ssh-ed25519 AAAA]}}}\n",
        "1:38: 'ssh-ed25519 AAAA' is not an SSH public key",
    ),
    "an unknown policy": (
        "hosts: {a: {connection: {host_key_policy: no}}}\n",
        "1:43: `host_key_policy` is to be `strict` or `accept-new`, and this is the text 'no'",
    ),
    "YAML 1.1's yes": (
        "hosts: {a: {connection: {become: yes}}}\n",
        "1:34: `become` is to be true or false, and this is the text 'yes'",
    ),
    "unknown host of a group": (
        "hosts: {web1: {}}\ngroups: {g: {hosts: [wbe1]}}\n",
        "2:22: the group 'g' names the host 'wbe1', which is not in the inventory",
    ),
    "unknown child": ("hosts: {a: {}}\ngroups: {g: {children: [h]}}\n", "2:25: there is no group 'h'"),
    "a group called all": ("hosts: {a: {}}\ngroups: {all: {}}\n", "2:10: 'all' is a group that is always there"),
    "cycle of one": (
        "hosts: {a: {}}\ngroups: {g: {children: [g]}}\n",
        "2:25: the group 'g' is a part of itself: g → g",
    ),
    "cycle of three": (
        "hosts: {x: {}}\ngroups:\n  a: {children: [b]}\n  b: {children: [c]}\n  c: {children: [a]}\n",
        "5:18: the group 'a' is a part of itself: a → b → c → a",
    ),
    "no hosts": ("{}\n", "there are no hosts in {path}"),
    "a tag of Python": (
        "hosts: {a: {vars: {x: !!python/object:os.system id}}}\n",
        "1:23: the tag !!python/object:os.system is not read",
    ),
    "NaN": ("hosts: {a: {vars: {x: .nan}}}\n", "1:23: .nan is not a finite number"),
}


@pytest.mark.parametrize("case", NATIVE)
def test_a_wrong_inventory_is_refused_with_its_place(case, tmp_path):
    text, expected = NATIVE[case]
    path = tmp_path / "inventory.yaml"
    path.write_text(text)

    assert told(path) == [expected.replace("{path}", str(path))]


INI = {
    "unknown kind of section": ("[web:hosst]\n", "1:1: a section can't be of the kind 'hosst'"),
    "a word that is no variable": ("web1 port\n", "1:1: 'port' is not a variable of the host 'web1'"),
    "variables without a value": ("web1\n[all:vars]\nx\n", "3:1: 'x' is not a variable"),
    "an open quote": ("web1 x='a\n", "1:1: the quotes do not match: no closing quotation"),
    "undefined child": ("web1\n[g:children]\nh\n", "3:1: there is no group 'h'"),
    "variables of an undefined group": ("web1\n[wbe:vars]\nx=1\n", "2:1: there is no group 'wbe'"),
    "bad port": ("web1:70000\n", "1:1: '70000' is not a port"),
    "a local connection": ("a ansible_connection=local\n", "1:1: hosts are reached by SSH, not by 'local'"),
    "a template": (
        "a ansible_host='{{ ip }}'\n",
        "1:1: `ansible_host` is a template: '{{ ip }}'",
    ),
    "an option of OpenSSH": (
        "a ansible_ssh_common_args='-o LocalCommand=id'\n",
        "1:1: ansible_ssh_common_args: the option `LocalCommand` has no counterpart here",
    ),
}


@pytest.mark.parametrize("case", INI)
def test_a_wrong_ini_inventory_is_refused_with_its_place(case, tmp_path):
    text, expected = INI[case]
    path = tmp_path / "hosts"
    path.write_text(text)

    assert told(path) == [expected]


def test_all_errors_are_told_together(tmp_path):
    path = tmp_path / "inventory.yaml"
    path.write_text("hosts:\n  a: {connection: {port: 0, user: -l}}\n  b: {lables: {}}\ngroups:\n  g: {hosts: [c]}\n")

    assert told(path) == [
        "2:26: 0 is not a port",
        "2:35: '-l' can't be the name of a user",
        "3:7: the host 'b' has no key `lables`",
        "5:15: the group 'g' names the host 'c', which is not in the inventory",
    ]


def test_errors_of_several_sources_are_told_together(tmp_path):
    (tmp_path / "a.yaml").write_text("hosts: {a: {x: 1}}\n")
    (tmp_path / "b.yaml").write_text("hosts: {b: {y: 1}}\n")

    with pytest.raises(ManyErrors) as caught:
        load_fleet([tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "none.yaml"])

    assert [type(error).__name__ for error in caught.value.errors] == ["UnknownKey", "UnknownKey", "SourceUnreadable"]


def test_a_misspelled_key_gets_its_near_miss(tmp_path):
    path = tmp_path / "inventory.yaml"
    path.write_text("host: {}\n")

    with pytest.raises(DeployerError) as caught:
        load_fleet([path])

    assert caught.value.remedy == "Did you mean `hosts`?"


def test_alias_bombs_end_quickly(tmp_path):
    levels = "".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 20))
    path = tmp_path / "inventory.yaml"
    path.write_text(f"hosts: {{a: {{}}}}\nvars:\n  l0: &l0 [x]\n{levels}")

    assert "aliases" in told(path)[0]


def test_a_configuration_that_is_not_there_is_told_at_its_place(tmp_path):
    path = tmp_path / "inventory.yaml"
    path.write_text("hosts: {a: {configuration: web.yaml}}\n")

    assert told(path) == [f"1:28: the file of `configuration` is missing: {tmp_path / 'web.yaml'}"]
