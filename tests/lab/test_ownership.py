"""What is ours on a host and what is the host's own: first failures, nothing at all, leaving, dropping, and giving back."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployer.lab import LabHost
from tests.lab.fleet import Fleet
from tests.lab.standing import Standing, shell, standing

KERNEL_AS_IT_WAS = "sysctl -w net.ipv4.ip_default_ttl=64 net.ipv4.tcp_syncookies=1"
"""A host's network namespace outlives its disk."""
MOTD_AS_IT_WAS = "chmod 664 /etc/motd; chgrp adm /etc/motd; touch -d '2019-03-04 05:06:07.89' /etc/motd"
QUICK = {"unit_timeout": 20, "check_deadline": 2, "confirm_timeout": 10}
SERVICE = {"wanted_by": ["multi-user.target"], "service": {"ExecStart": "/bin/sleep 3600", "User": "own"}}
EVERYTHING: dict[str, Any] = {
    "packages": ["tool"],
    "users": {"own": {"description": "Owns things", "shell": "/bin/sh", "home": "/home/own", "create_home": True}},
    "groups": {"owners": {"members": ["own"]}},
    "sysctl": {"net.ipv4.ip_default_ttl": 77},
    "tmpfiles": {"rules": ["d /var/lib/own 0750 own own -", "f /run/own-flag 0644 root root -"]},
    "etc": {
        "motd": {"text": "ours\n", "replace": True},
        "own/a file with spaces": {"text": "spaced\n"},
        "own/real": {"text": "real\n", "kind": "file", "mode": "0640", "owner": "own", "group": "own"},
        "own/directory": {"kind": "directory", "mode": "0750", "owner": "own", "group": "own"},
        "own/link": {"target": "a file with spaces"},
    },
    "systemd": {"services": {"own": SERVICE}},
    "activation": QUICK,
}


class Host:
    """A pristine host with the inventory that names it, and with settings of the kernel that may be written."""

    def __init__(self, machines: Any, host: LabHost, directory: Path) -> None:
        self.lab, self.lab_host = machines.lab, host
        self.fleet = Fleet(directory, self.lab, host)
        self.run(f"mount -o remount,bind,rw /proc/sys; {KERNEL_AS_IT_WAS}; {MOTD_AS_IT_WAS}")
        source = directory / "tool-1" / "bin" / "own-tool"
        source.parent.mkdir(parents=True)
        source.write_text("#!/bin/sh\necho the tool speaks\n")
        source.chmod(0o755)
        with tarfile.open(directory / "tool.tar.gz", "w:gz") as archive:
            archive.add(directory / "tool-1", "tool-1")
        self.fleet.packages = {"tool": {"kind": "archive", "file": "tool.tar.gz", "strip_components": 1}}

    def run(self, command: str) -> str:
        return shell(self.lab, self.lab_host, command)

    def stands(self) -> Standing:
        return standing(self.lab, self.lab_host)

    def deploy(self, configuration: dict[str, Any], exit_code: int = 0) -> str:
        self.fleet.configure(configuration)
        done = self.fleet.run("deploy", "--yes")
        assert done.exit_code == exit_code, done.text
        assert "Traceback" not in done.text
        return str(done.text)

    def lines(self, *paths: str) -> list[str]:
        """Of paths that are there: mode, owner, group, kind, size, modification time and target."""
        return self.run(f"stat -c '%a %U %G %F %s %y %N' {' '.join(paths)}").splitlines()


@pytest.fixture
def host(machines: Any, fresh_host: LabHost, tmp_path: Path) -> Host:
    return Host(machines, fresh_host, tmp_path)


def without(*paths: str) -> dict[str, Any]:
    """Everything, but for some `section/name`."""
    smaller = {section: dict(value) if isinstance(value, dict) else value for section, value in EVERYTHING.items()}
    for path in paths:
        section, name = path.split("/", 1)
        del smaller[section][name]
    return smaller


def test_a_first_deploy_whose_check_stays_red_leaves_the_host_as_it_was(host: Host) -> None:
    before = host.stands()

    text = host.deploy({**EVERYTHING, "checks": {"never": {"kind": "command", "command": ["/bin/false"]}}}, 1)

    after = host.stands()
    assert "rolled back" in text
    assert "check never not healthy: /bin/false ended with 1; it was red before this deploy" in text
    assert after.etc == before.etc
    assert (after.contents, after.accounts) == (before.contents, before.accounts)
    assert (after.unit_files, after.units, after.health) == (before.unit_files, before.units, ("running",))
    assert set(after.roots) - set(before.roots) == {"nix", "deployer"}
    assert host.run("sysctl -n net.ipv4.ip_default_ttl") == "64"
    assert host.run("cat /var/lib/deployer/state").startswith("deployer-state 1 settled 0 -")
    assert host.fleet.run("uninstall", "--yes").exit_code == 0
    assert host.stands() == before


def test_a_unit_that_does_not_start_on_the_first_deploy_leaves_the_host_as_it_was(host: Host) -> None:
    before = host.stands()
    broken = {**SERVICE, "service": {"ExecStart": "/bin/false", "Type": "oneshot"}}

    text = host.deploy({**EVERYTHING, "systemd": {"services": {"own": broken}}}, 1)

    assert "own.service" in text
    host.fleet.run("uninstall", "--yes")
    assert host.stands() == before


def test_a_file_of_the_hosts_own_is_refused_in_the_plan_and_nothing_begins(host: Host) -> None:
    before = host.stands()
    collision = {**EVERYTHING, "etc": {**EVERYTHING["etc"], "hostname": {"text": "ours\n"}}}

    host.fleet.configure(collision)
    plan = host.fleet.run("plan")
    text = host.deploy(collision, 1)

    for words in (plan.text, text):
        assert "/etc/hostname: a file is there already, and is not deployer's" in words
        assert "replace: true" in words
    assert plan.exit_code == 1
    assert host.stands() == before


def test_an_empty_configuration_changes_nothing_and_is_unchanged_the_second_time(host: Host) -> None:
    before = host.stands()

    first, second = host.deploy({}), host.deploy({})

    after = host.stands()
    assert after.etc == before.etc
    assert (after.contents, after.accounts) == (before.contents, before.accounts)
    assert (after.unit_files, after.units) == (before.unit_files, before.units)
    assert "1 confirmed" in first
    assert "confirmed" not in second
    assert "unchanged" in second
    assert host.run("ls /var/lib/deployer/profile") == "1-link\ncurrent"


def test_uninstalling_after_real_use_leaves_the_host_as_it_was(host: Host) -> None:
    before = host.stands()

    host.deploy(EVERYTHING)
    assert host.run("bash -lc own-tool; cat /etc/motd; sysctl -n net.ipv4.ip_default_ttl") == "the tool speaks\nours\n77"
    assert host.run("runuser -u own -- cat /etc/own/real /etc/own/link; id -nG own") == "real\nspaced\nown owners"
    assert host.run("systemctl is-active own; stat -c %U:%a /var/lib/own /home/own") == "active\nown:750\nown:750"
    changed = without("etc/own/real", "etc/own/link")
    changed["systemd"] = {"services": {"own": SERVICE, "other": {**SERVICE, "wanted_by": ["own.service"]}}}
    host.deploy(changed)
    host.deploy({**EVERYTHING, "sysctl": {"net.ipv4.ip_default_ttl": 78, "net.ipv4.tcp_syncookies": 0}})
    assert host.run("sysctl -n net.ipv4.ip_default_ttl net.ipv4.tcp_syncookies") == "78\n0"
    planned = host.fleet.run("uninstall", "--dry-run", "--json").documents[0]
    done = host.fleet.run("uninstall", "--yes", "--json")

    assert done.exit_code == 0, done.text
    assert done.documents[0] == planned
    assert host.stands().without_times_of_accounts() == before.without_times_of_accounts()
    assert host.run("ls -d /nix /var/lib/deployer /var/lib/own /home/own /run/own-flag 2>/dev/null") == ""
    assert host.run("sysctl -n net.ipv4.ip_default_ttl net.ipv4.tcp_syncookies") == "64\n1"
    again = host.fleet.run("uninstall", "--yes", "--json")
    assert (again.exit_code, again.documents[0]["actions"]) == (0, [])
    assert host.stands().without_times_of_accounts() == before.without_times_of_accounts()


def test_what_a_configuration_drops_goes_and_what_it_replaced_comes_back(host: Host) -> None:
    before, motd = host.stands(), host.lines("/etc/motd")
    host.deploy(EVERYTHING)
    assert host.run("readlink /etc/motd") == "/var/lib/deployer/profile/current/etc/motd"

    host.deploy({"etc": {"own/only": {"text": "only\n"}}, "users": EVERYTHING["users"]})

    after = host.stands()
    assert host.lines("/etc/motd") == motd
    assert "664 root adm" in motd[0]
    assert "2019-03-04 05:06:07.89" in motd[0]
    assert host.run("find /etc/own -mindepth 1") == "/etc/own/only"
    assert host.run("systemctl is-active own") == "inactive"
    assert (after.unit_files, after.units) == (before.unit_files, before.units)
    assert host.run("sysctl -n net.ipv4.ip_default_ttl") == "64"
    assert host.run("bash -lc own-tool") != "the tool speaks"


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_a_file_that_was_there_comes_back_after_other_kinds_of_entries_too(host: Host, kind: str) -> None:
    motd = host.lines("/etc/motd")
    entry = {"text": "ours\n", "kind": "file", "mode": "0600"} if kind == "file" else {"target": "/dev/null"}

    host.deploy({"etc": {"motd": {**entry, "replace": True}, "own/x": {"text": "x"}}})
    assert host.lines("/etc/motd") != motd
    host.deploy({"etc": {"own/x": {"text": "x"}}})

    assert host.lines("/etc/motd") == motd


def test_a_dropped_user_is_locked_and_has_its_uid_again_when_it_returns(host: Host) -> None:
    users = {"own": {"shell": "/bin/sh"}, "brief": {"purge": True, "shell": "/bin/sh"}, "late": {}}
    login = "su own -c 'echo came in'"
    host.deploy({"users": users})
    uid = host.run("id -u own")
    assert host.run(login) == "came in"

    host.deploy({"users": {"late": {}}})
    refused, shadow = host.run(login), host.run("getent shadow own")
    locked = host.run("getent passwd own brief").splitlines()
    host.deploy({"users": {**users, "newcomer": {}}})

    assert "came in" not in refused
    assert shadow.split(":")[7] == "1"
    assert locked == [f"own:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin"]
    assert host.run("id -u own") == uid
    assert host.run("id -u newcomer") != uid
    assert host.run(login) == "came in"


def test_a_real_file_that_was_edited_by_hand_is_kept_aside_and_not_lost(host: Host) -> None:
    real = {"text": "one\n", "kind": "file", "mode": "0640", "group": "adm"}
    host.deploy({"etc": {"own/real": real, "own/dropped": {"text": "gone\n", "kind": "file"}}})
    assert host.run("stat -c '%a %U %G' /etc/own/real") == "640 root adm"
    host.run("echo by hand >/etc/own/real; echo also by hand >/etc/own/dropped")

    text = host.deploy({"etc": {"own/real": {**real, "text": "two\n"}}})

    assert host.run("cat /etc/own/real; ls /etc/own") == "two\nreal"
    assert "changed by hand" in text  # the plan says so
    assert all(path in text for path in host.run("ls /var/lib/deployer/kept/*").split())
    assert host.run("sort /var/lib/deployer/kept/*") == "also by hand\nby hand"


def test_uninstalling_loses_nothing_that_was_edited_by_hand_unless_it_is_told_to(host: Host) -> None:
    before = host.stands()
    real = {"text": "one\n", "kind": "file"}
    host.deploy({"etc": {"own/real": real, "own/other": real}})
    host.run("echo by hand >/etc/own/real")
    host.deploy({"etc": {"own/real": {**real, "text": "two\n"}, "own/other": real}})
    host.run("echo by hand >/etc/own/other")
    deployed, kept = host.stands(), host.run("ls /var/lib/deployer/kept/*")

    for arguments in (["--dry-run"], ["--yes"]):
        refused = host.fleet.run("uninstall", *arguments)
        assert refused.exit_code == 2, refused.text
        assert all(words in refused.text for words in ("/etc/own/other", kept, "--discard-kept", "cat /etc/own/other"))
    assert host.stands() == deployed
    planned = host.fleet.run("uninstall", "--dry-run", "--discard-kept", "--json").documents[0]["actions"]
    assert [action["target"] for action in planned if action["kind"] == "kept"] == ["/etc/own/other", kept]

    assert host.fleet.run("uninstall", "--yes", "--discard-kept").exit_code == 0
    assert host.stands() == before


def test_a_host_whose_nix_was_removed_by_hand_is_set_right_and_can_be_left(host: Host) -> None:
    before = host.stands()
    host.deploy(EVERYTHING)
    gone = "rm -rf /nix; systemctl stop own"
    host.run(gone)
    drift = host.fleet.run("drift")
    assert (drift.exit_code, "not there" in drift.text) == (1, True), drift.text

    assert "1 confirmed" in host.deploy(EVERYTHING)
    assert host.run("cat /etc/own/link; systemctl is-active own; bash -lc own-tool") == "spaced\nactive\nthe tool speaks"
    assert host.fleet.run("drift").exit_code == 0
    host.run("rm -rf /nix/store")
    assert "1 confirmed" in host.deploy(without("etc/own/link"))
    assert host.run("systemctl is-active own; bash -lc own-tool; ls -d /etc/own/l* 2>&-") == "active\nthe tool speaks"

    host.run(gone)
    left = host.fleet.run("uninstall", "--yes")
    assert left.exit_code == 0, left.text
    assert host.stands().without_times_of_accounts() == before.without_times_of_accounts()


def test_what_others_put_into_a_directory_of_ours_stays(host: Host) -> None:
    host.deploy(EVERYTHING)
    host.run("echo theirs >/etc/own/directory/theirs; echo theirs >/etc/own/beside; echo data >/var/lib/own/data")

    host.fleet.run("uninstall", "--yes")

    assert host.run("cd /etc/own; find . -type f; cat /var/lib/own/data") == "./directory/theirs\n./beside\ndata"


RELEASES = ("bullseye", "trixie")


def test_bullseye_and_trixie_deploy_the_same_configuration_and_roll_back(
    machines: Any, fresh_hosts: Callable[..., tuple[LabHost, ...]], tmp_path: Path
) -> None:
    hosts = [fresh_hosts(1, release=release)[0] for release in RELEASES]
    one = Host(machines, hosts[0], tmp_path)
    other = Host(machines, hosts[1], tmp_path / "other")
    one.fleet.hosts = tuple(hosts)

    one.deploy({**EVERYTHING, "checks": {"runs": {"kind": "unit", "unit": "own.service"}}})
    systems = {machine.run("readlink -f /var/lib/deployer/profile/current") for machine in (one, other)}
    one.deploy(without("etc/own/real"))
    back = one.fleet.run("rollback")

    assert len(systems) == 1
    assert back.exit_code == 0, back.text
    for machine in (one, other):
        assert machine.run("cat /etc/own/real; systemctl is-active own; bash -lc own-tool") == "real\nactive\nthe tool speaks"
    drift = one.fleet.run("drift")
    assert drift.exit_code == 0, drift.text
