"""Accounts on real hosts, beside the programs and the people who change them too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.lab import LabHost
from tests.lab.test_etc_on_hosts import Host

BY_HAND = 80
CHECKED = "pwck -rq; grpck -r"
OWN: dict[str, Any] = {
    "own": {"groups": ["adm"], "subordinate_ids": 65536, "shell": "/bin/sh"},
    "brief": {"purge": True, "groups": ["adm"]},
}


@pytest.fixture
def host(machines: Any, fresh_host: LabHost, tmp_path: Path) -> Host:
    return Host(machines, fresh_host, tmp_path)


def test_useradd_at_the_same_time_loses_nothing_and_neither_do_we(host: Host) -> None:
    checked = host.run(CHECKED)
    host.run(f"nohup sh -c 'for n in $(seq {BY_HAND}); do useradd -G adm hand$n; done; touch /root/done' >/dev/null 2>&1 &")

    for users in (OWN, {}, OWN):
        host.deploy({"users": users})
    host.run("for n in $(seq 500); do [ -e /root/done ] && break; sleep 0.1; done")

    for file in ("passwd", "shadow", "group", "gshadow"):
        assert host.run(f"grep -c '^hand[0-9]*:' /etc/{file}; grep -c '^own:' /etc/{file}") == f"{BY_HAND}\n1", file
    members = host.run("getent group adm").rpartition(":")[2].split(",")
    assert sorted(members) == sorted([*(f"hand{number}" for number in range(1, BY_HAND + 1)), "own", "brief"])
    assert host.run("cut -d: -f3 /etc/passwd | sort | uniq -d; cut -d: -f1 /etc/subuid | sort | uniq -d") == ""
    assert host.run(CHECKED) == checked
    assert host.fleet.run("drift").exit_code == 0

    before = host.run("grep -v '^own:\\|^brief:' /etc/passwd")
    assert host.fleet.run("uninstall", "--yes").exit_code == 0
    assert host.run("cat /etc/passwd") == before
    assert host.run("grep -E ':(own|brief|.*,own|.*,brief)(,|$)' /etc/group; grep own /etc/sub?id") == ""


def test_accounts_that_the_host_knows_from_a_directory_are_left_to_it(host: Host) -> None:
    host.run(
        "sed -i 's/^passwd:.*/passwd: files ldap/; s/^group:.*/group: files ldap/' /etc/nsswitch.conf;"
        "printf '%s\\n' '#!/bin/sh' 'database=$1; shift; status=0; for key; do case $database:$key in"
        " passwd:carol|passwd:5000) echo carol:x:5000:5000::/home/carol:/bin/sh;;"
        " passwd:999) echo dave:x:999:999::/home/dave:/bin/sh;; *) status=2;; esac; done; exit $status'"
        " >/usr/local/bin/getent; chmod +x /usr/local/bin/getent"
    )
    before = host.run("cat /etc/passwd /etc/group")

    text = host.refusals({"users": {"carol": {}}})
    assert "user carol: this host knows it from a directory, with number 5000" in text
    assert "remove it from `users`" in text
    assert "uid 5000 belongs to carol" in host.refusals({"users": {"web": {"uid": 5000}}})
    assert host.run("cat /etc/passwd /etc/group") == before

    host.deploy({"users": {"web": {}}, "groups": {"team": {"members": ["carol"]}}})
    assert host.run("grep ^team: /etc/group | cut -d: -f4") == "carol"
    assert host.run("grep ^web: /etc/passwd | cut -d: -f3") not in ("999", "")
    host.run("printf '#!/bin/sh\\nsleep 60\\n' >/usr/local/bin/getent")
    silent = host.refusals({"users": {"web": {}, "api": {}}})
    assert "`getent passwd` on it does not answer within 10 s" in silent
    assert "accounts must not be made twice" in silent


def test_what_keeps_account_files_from_being_written_is_refused_in_the_plan(host: Host) -> None:
    users = {"users": {"own": {"shell": "/bin/nosh"}, "renamed": {}}}
    host.deploy({"users": {"renamed": {}}})
    host.run(
        "chattr +i /etc/shadow; usermod -l hers renamed; chattr -i /etc/shadow; usermod -l hers renamed; chattr +i /etc/shadow"
    )

    text = host.refusals(users)

    for words in (
        "user own: its shell /bin/nosh is not on this host",
        "/etc/shadow: it is immutable: somebody ran `chattr +i`",
        "which belongs to 'hers' now: somebody renamed it",
        "usermod -l renamed hers",
    ):
        assert words in text
