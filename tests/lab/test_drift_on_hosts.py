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
    "users": {"own": {"shell": "/bin/sh", "home": "/home/own", "create_home": True}},
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
    "/home/own": "rmdir /home/own",
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
    assert kept.run("stat -c '%U %a' /home/own") == "own 750"
    assert kept.run("getent passwd own | cut -d: -f7; sysctl -n net.ipv4.ip_default_ttl") == "/bin/sh\n77"
    assert kept.run("cat /var/lib/deployer/kept/*") == "by hand"
    after = kept.started()
    assert after["beside"] == before["beside"]
    assert after["own"] not in ("", before["own"])
    assert kept.run("cat /var/lib/deployer/state").split()[2:4] == ["settled", "1"]


def test_what_is_ignored_is_neither_told_nor_set_right(kept: Kept) -> None:
    kept.run("; ".join(BREAK.values()))
    ignored = ("--ignore", "/etc/own/*", "--ignore", "unit:*")

    assert sorted(kept.drift(*ignored)) == ["/home/own", "net.ipv4.ip_default_ttl", "own"]


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


RUN_ONCE = "/bin/sh -c 'echo ran >>/run/once.log; test ! -e /run/broken'"
ONCE = {"wanted_by": ["multi-user.target"], "service": {"Type": "oneshot", "ExecStart": RUN_ONCE}}
THEIRS = {
    "theirs.service": "[Service]\\nType=oneshot\\nExecStart=/bin/sh -c 'echo ran >>/run/theirs.log'\\n",
    "daemon.service": "[Service]\\nExecStart=/bin/sleep 3600\\n",
}
"""Units of the distribution's own, as printf takes them."""
UNITS: dict[str, Any] = {
    **CONFIGURATION,
    "systemd": {
        "services": {
            "own": SLEEP,
            "beside": SLEEP,
            "once": ONCE,
            "idle": {**SLEEP, "unit": {"ConditionPathExists": "/run/never"}},
            "crashing": {
                "wanted_by": ["multi-user.target"],
                "service": {
                    "ExecStart": "/bin/sh -c 'test ! -e /run/broken && exec sleep 3600'",
                    "Restart": "always",
                    "RestartSec": "1h",
                },
            },
        },
    },
}


def test_what_is_told_of_units_is_what_is_set_right(kept: Kept) -> None:
    shipped = [f'printf "{text}" >/lib/systemd/system/{name}' for name, text in THEIRS.items()]
    kept.run("; ".join([*shipped, "systemctl daemon-reload"]))
    units = {name: {"drop_ins": {"own.conf": "[Service]\nNice=5\n"}, "start": True} for name in THEIRS}
    configuration = {**UNITS, "systemd": {**UNITS["systemd"], "units": units}}
    kept.fleet.configure(configuration)
    assert kept.fleet.deploy().exit_code == 0
    assert kept.drift() == []
    assert (kept.run("wc -l </run/once.log"), kept.run("wc -l </run/theirs.log")) == ("1", "1")
    assert kept.fleet.deploy().exit_code == 0

    kept.run(
        "cd /etc/systemd/system; mkdir -p own.service.d; printf '[Service]\\nNice=7\\n' >own.service.d/theirs.conf;"
        "touch /run/broken; systemctl daemon-reload; systemctl restart own once crashing; systemctl mask --now daemon"
    )
    found = kept.drift()
    kept.fleet.configure({**configuration, "etc": {**CONFIGURATION["etc"], "own/more": {"text": "more\n"}}})
    unrelated = kept.fleet.deploy("--on", kept.host.name)
    kept.run("rm /run/broken")
    done = kept.fleet.run("reconcile")

    assert sorted(found) == ["crashing.service", "daemon.service", "once.service", "own.service"]
    assert "masks it" in unrelated.text
    assert done.exit_code == 0, done.text
    assert kept.drift() == []
    assert kept.run("systemctl is-active own daemon crashing once idle").split() == ["active"] * 3 + ["inactive"] * 2
    assert kept.run("systemctl show -P Nice own") == kept.run("systemctl show -P Nice beside")
    assert kept.run("cat /var/lib/deployer/kept/*") == "[Service]\nNice=7"
    assert (kept.run("wc -l </run/once.log"), kept.run("wc -l </run/theirs.log")) == ("3", "1")
    assert kept.fleet.run("reconcile").exit_code == 0


def test_a_failed_oneshot_does_not_keep_an_unrelated_deploy_from_being_made(kept: Kept) -> None:
    kept.fleet.configure({**CONFIGURATION, "systemd": {"services": {"own": SLEEP, "once": ONCE}}})
    assert kept.fleet.deploy().exit_code == 0
    kept.run("touch /run/broken; systemctl restart once")
    assert kept.drift() == ["once.service"]

    kept.fleet.configure({"systemd": {"services": {"own": SLEEP, "once": ONCE}}})
    done = kept.fleet.deploy()

    assert done.exit_code == 0, done.text
    assert kept.run("wc -l </run/once.log; systemctl is-failed once") == "2\nfailed"
    refused = kept.fleet.run("reconcile")
    assert refused.exit_code == 1, refused.text
    assert "once.service" in refused.text
    assert kept.drift() == ["once.service"]
