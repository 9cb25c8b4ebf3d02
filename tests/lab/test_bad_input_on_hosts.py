"""Hosts that can't be deployed to: each is told with its name, the reason and a remedy, and nothing on it has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployer.lab import LabHost, cut, heal
from tests.lab.fleet import Fleet, Run
from tests.lab.standing import shell, standing

HOME = {"users": {"own": {"home": "/no/where", "create_home": True}}}
FILE = {"etc": {"own": {"text": "ours\n"}}}
BROKEN_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJSFnoqNNJ66lUYCXy0NFsjSLO0EFnQE4IqUlvjDS8Z"


class Site:
    """Hosts, and what must be said of one that is not fit."""

    def __init__(self, machines: Any, directory: Path, *hosts: LabHost) -> None:
        self.machines, self.lab, self.hosts = machines, machines.lab, hosts
        self.fleet = Fleet(directory, self.lab, *hosts)
        self.fleet.configure(FILE)

    def run(self, command: str) -> str:
        return shell(self.lab, self.hosts[0], command)

    def assert_refused(self, reason: str, remedy: str, *, error: str) -> None:
        """The same by words and by JSON, by `plan` and by `deploy`."""
        name = self.hosts[0].name
        for done in (self.fleet.run("plan"), self.fleet.run("deploy", "--yes")):
            self._assert_plain(done)
            assert f"{name}: " in done.text
            assert reason in done.text
            assert remedy in done.text
        done = self.fleet.deploy()
        self._assert_plain(done)
        told = _errors(done)
        assert [item["error"] for item in told] == [error]
        assert reason in told[0]["message"]
        assert remedy in told[0]["remedy"]

    def _assert_plain(self, done: Run) -> None:
        assert done.exit_code == 1, done.text
        assert "Traceback" not in done.text


def _errors(done: Run) -> list[dict[str, Any]]:
    """Every error that is told, once."""
    told = [document if isinstance(document.get("error"), str) else document.get("error") for document in done.documents]
    return [item for item in told if isinstance(item, dict)]


@pytest.fixture
def site(machines: Any, fresh_host: LabHost, tmp_path: Path) -> Site:
    return Site(machines, tmp_path, fresh_host)


def test_a_host_that_is_cut_off_is_told_as_out_of_reach(site: Site) -> None:
    host = site.hosts[0]
    site.fleet.connections = {host.name: {"connect_timeout": 1}}
    site.machines.do(cut(host))
    try:
        site.assert_refused("it can't be reached at", "Check the address, the route and the firewall", error="Unreachable")
    finally:
        site.machines.do(heal(host))


def test_a_host_out_of_reach_within_the_budget_ends_with_3_and_the_others_are_done(
    machines: Any, fresh_hosts: Callable[..., tuple[LabHost, ...]], tmp_path: Path
) -> None:
    site = Site(machines, tmp_path, *fresh_hosts(2))
    away, there = site.hosts
    site.fleet.connections = {away.name: {"connect_timeout": 1, "address": "192.0.2.253"}}
    site.fleet.rollout = {"max_unreachable": 1}

    done = site.fleet.deploy()

    assert done.exit_code == 3, done.text
    assert "Traceback" not in done.text
    assert done.end["outcomes"] == {away.name: "unreachable", there.name: "confirmed"}
    assert shell(site.lab, there, "cat /etc/own") == "ours"


def test_another_host_key_than_the_known_one_stops_everything(site: Site) -> None:
    site.fleet.connections = {site.hosts[0].name: {"host_keys": [BROKEN_KEY]}}
    before = standing(site.lab, site.hosts[0])

    site.assert_refused("shows the key", "Somebody may be listening in", error="HostKeyChanged")

    assert standing(site.lab, site.hosts[0]) == before


def test_a_host_key_that_nobody_knows_is_not_accepted(site: Site, tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    site.fleet.connections = {site.hosts[0].name: {"known_hosts": str(tmp_path / "none")}}
    before = standing(site.lab, site.hosts[0])

    site.assert_refused("nothing is known of the key", "Compare the fingerprint", error="HostKeyUnknown")

    assert standing(site.lab, site.hosts[0]) == before
    assert (tmp_path / "none").read_text() == ""


@pytest.mark.parametrize(
    ("place", "size", "error", "reason"),
    [
        pytest.param("/nix", "16k", "StoreFull", "there is no room for", id="not even for the database"),
        pytest.param("/nix", "400k", "StoreFull", "there is no room for", id="not for the copy"),
        pytest.param("/var/lib/deployer", "4m", "NoSpace", "/var/lib/deployer has only", id="not for the transaction"),
    ],
)
def test_a_full_disk_is_told_and_nothing_has_changed(site: Site, place: str, size: str, error: str, reason: str) -> None:
    before = standing(site.lab, site.hosts[0])
    site.run(f"mkdir -p {place}; mount -t tmpfs -o mode=755,size={size} none {place}")

    words, done = site.fleet.run("deploy", "--yes"), site.fleet.deploy()
    site.run(f"umount {place}; rmdir {place}")
    left = site.fleet.run("uninstall", "--yes")

    assert (words.exit_code, done.exit_code, left.exit_code) == (1, 1, 0), words.text + done.text + left.text
    assert reason in words.text
    assert "Free s" in words.text
    assert "Traceback" not in words.text + done.text
    assert [told["error"] for told in _errors(done)] == [error]
    assert standing(site.lab, site.hosts[0]) == before


@pytest.mark.parametrize(
    ("base", "reason"), [("no-python", "there is no python3 on it"), ("minimal-python", "its python3 lacks")]
)
def test_a_host_without_a_whole_python_is_told_what_to_install_where_none_can_be_sent(
    machines: Any, fresh_hosts: Callable[..., tuple[LabHost, ...]], tmp_path: Path, base: str, reason: str
) -> None:
    site = Site(machines, tmp_path, *fresh_hosts(1, base=base))
    before = standing(site.lab, site.hosts[0])

    site.assert_refused(reason, "Install python3, 3.9 or newer, on the host", error="PythonNotSent")

    assert standing(site.lab, site.hosts[0]) == before


@pytest.mark.parametrize("become", [False, True])
def test_a_login_that_may_not_be_root_is_told_both_ways_out(site: Site, become: bool) -> None:
    site.run("useradd -m alice; cp -r /root/.ssh /home/alice/.ssh; chown -R alice /home/alice/.ssh")
    site.fleet.connections = {site.hosts[0].name: {"user": "alice", "become": become}}
    before = standing(site.lab, site.hosts[0])

    if become:
        site.assert_refused("'alice' can't become root", "/etc/sudoers.d/deployer", error="BecomeRefused")
    else:
        site.assert_refused("alice is not root there", "become: true", error="NotRoot")

    assert standing(site.lab, site.hosts[0]) == before


def test_a_start_up_file_that_prints_is_named_as_the_cause(site: Site) -> None:
    site.run("sed -i '1i echo Welcome to this host' /root/.bashrc")

    site.assert_refused("it began with 'Welcome to this host", "~/.bashrc", error="FrameRefused")

    assert site.run("ls -d /nix /var/lib/deployer /etc/own 2>/dev/null") == "Welcome to this host"
    status, drift = site.fleet.run("status"), site.fleet.run("drift")
    assert (status.exit_code, "unknown" in status.text, "unreachable" in status.text) == (1, True, False), status.text
    assert (drift.exit_code, "~/.bashrc" in drift.text, "No drift" in drift.text) == (1, True, False), drift.text


@pytest.mark.parametrize(
    ("command", "configuration", "reason", "remedy"),
    [
        ("mkdir -m 777 /nix", FILE, "/nix: the store is not safe there", "chmod go-w"),
        ("true", {"sysctl": {"net.ipv4.ip_default_ttl": 77}}, "ip_default_ttl: this setting is read-only", "Remove it"),
        ("true", HOME, "in which it is to be, is not there", "Make the directory above"),
    ],
    ids=["store", "sysctl", "home"],
)
def test_what_the_host_does_not_let_be_changed_is_refused_before_anything_is_copied(
    site: Site, command: str, configuration: dict[str, Any], reason: str, remedy: str
) -> None:
    site.run(command)
    site.fleet.configure(configuration)
    before = standing(site.lab, site.hosts[0])

    site.assert_refused(reason, remedy, error="PlanRefused")

    assert standing(site.lab, site.hosts[0]) == before
    assert site.run("ls -A /nix 2>/dev/null") == ""
