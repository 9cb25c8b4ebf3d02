"""Drift on real hosts: found by `drift`, set right by `reconcile`, and left alone where that is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.lab import LabHost
from tests.lab.fleet import Fleet
from tests.lab.standing import shell

SLEEP = {"wanted_by": ["multi-user.target"], "service": {"ExecStart": "/bin/sleep 3600"}}
CONFIGURATION: dict[str, Any] = {
    "users": {"own": {"shell": "/bin/sh"}},
    "sysctl": {"net.ipv4.ip_default_ttl": 77},
    "etc": {
        "own/real": {"text": "real\n", "kind": "file", "mode": "0640"},
        "own/a link": {"text": "linked\n"},
        "own/directory": {"kind": "directory", "mode": "0750"},
    },
    "systemd": {"services": {"own": SLEEP, "beside": SLEEP}},
    "activation": {"unit_timeout": 20, "check_deadline": 5, "confirm_timeout": 10},
}
BREAK = {
    "/etc/own/real": "echo by hand >/etc/own/real",
    "/etc/own/a link": "rm '/etc/own/a link'",
    "/etc/own/directory": "chmod 700 /etc/own/directory",
    "own.service": "systemctl stop own",
    "own": "usermod -s /bin/bash own",
    "net.ipv4.ip_default_ttl": "sysctl -qw net.ipv4.ip_default_ttl=66",
}
"""Target to what somebody does to it."""


class Kept:
    """A host that is as it was declared."""

    def __init__(self, machines: Any, host: LabHost, directory: Path) -> None:
        self.lab, self.host = machines.lab, host
        self.fleet = Fleet(directory, self.lab, host)
        self.run("mount -o remount,bind,rw /proc/sys; sysctl -w net.ipv4.ip_default_ttl=64")
        self.fleet.configure(CONFIGURATION)
        done = self.fleet.deploy()
        assert done.exit_code == 0, done.text
        assert self.drift() == []

    def run(self, command: str) -> str:
        return shell(self.lab, self.host, command)

    def drift(self, *arguments: str) -> list[str]:
        """The targets that `drift --json` names."""
        done = self.fleet.run("drift", "--json", *arguments)
        targets = [item["target"] for item in done.documents[-1]["drift"]]
        assert done.exit_code == (1 if targets else 0), done.text
        return targets

    def started(self) -> dict[str, str]:
        """Which run of each service this is."""
        return {name: self.run(f"systemctl show -P InvocationID {name}") for name in ("own", "beside")}


@pytest.fixture
def kept(machines: Any, fresh_host: LabHost, tmp_path: Path) -> Kept:
    return Kept(machines, fresh_host, tmp_path)


def test_drift_of_every_kind_is_found_and_set_right_and_only_what_must_be_is_started(kept: Kept) -> None:
    before = kept.started()
    kept.run("; ".join(BREAK.values()))

    found = kept.drift()
    done = kept.fleet.run("reconcile")

    assert sorted(found) == sorted(BREAK)
    assert done.exit_code == 0, done.text
    assert kept.drift() == []
    assert kept.run("cat /etc/own/real '/etc/own/a link'; stat -c %a /etc/own/directory") == "real\nlinked\n750"
    assert kept.run("getent passwd own | cut -d: -f7; sysctl -n net.ipv4.ip_default_ttl") == "/bin/sh\n77"
    assert kept.run("cat /var/lib/deployer/kept/*") == "by hand"
    after = kept.started()
    assert after["beside"] == before["beside"]
    assert after["own"] not in ("", before["own"])
    assert kept.run("cat /var/lib/deployer/state").split()[2:4] == ["settled", "1"]


def test_what_is_ignored_is_neither_told_nor_set_right(kept: Kept) -> None:
    kept.run("; ".join(BREAK.values()))
    ignored = ("--ignore", "/etc/own/*", "--ignore", "unit:*")

    assert sorted(kept.drift(*ignored)) == ["net.ipv4.ip_default_ttl", "own"]


def test_a_dry_run_of_reconcile_changes_nothing(kept: Kept) -> None:
    kept.run("; ".join(BREAK.values()))
    look = "find /etc -type f -exec sha256sum {} + | sort; cat /var/lib/deployer/state; systemctl is-active own; ls /etc/own"
    before = kept.run(look)

    done = kept.fleet.run("reconcile", "--dry-run")

    assert all(target in done.text for target in BREAK)
    assert kept.run(look) == before
    assert sorted(kept.drift()) == sorted(BREAK)


def test_a_masked_unit_is_found_and_runs_again(kept: Kept) -> None:
    kept.run("rm /etc/systemd/system/own.service; systemctl mask --now own")
    assert kept.run("systemctl is-enabled own") == "masked"

    found = kept.drift()
    done = kept.fleet.run("reconcile")

    assert "own.service" in found
    assert done.exit_code == 0, done.text
    assert kept.drift() == []
    assert kept.run("systemctl is-active own") == "active"
