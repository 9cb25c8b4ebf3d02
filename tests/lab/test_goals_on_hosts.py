"""Goals on real hosts: what is gone after a reboot, what comes with one, and a rollout that reboots hosts itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from deployer.lab import LabHost
from tests.lab.fleet import Fleet, Run
from tests.lab.standing import shell
from tests.lab.test_rollback import configuration

PATIENT = {"check_deadline": 8, "confirm_timeout": 30, "boot_timeout": 90}
RED = {"never": {"kind": "command", "command": ["/bin/false"]}}


class Rebooting:
    """A host with generation 1 on it, and a service that shows which one it was started by."""

    def __init__(self, machines: Any, host: LabHost, directory: Path) -> None:
        self.machines, self.host = machines, host
        self.fleet = Fleet(directory, machines.lab, host)
        done = self.deploy("one")
        assert done.exit_code == 0, done.text

    def deploy(self, setting: str, *arguments: str, **more: Any) -> Run:
        self.fleet.configure(configuration(setting, activation=PATIENT, **more))
        done = self.fleet.deploy(*arguments)
        assert "Traceback" not in done.text
        return done

    def run(self, command: str) -> str:
        return shell(self.machines.lab, self.host, command)

    def shows(self) -> str:
        """State line without the epoch, configuration, and what the service runs with."""
        state = self.run("cat /var/lib/deployer/state").split()
        return f"{state[2]} {state[3]} {self.run('cat /etc/svc.conf /run/svc.now; systemctl is-active svc')}".replace("\n", " ")

    def boot_id(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id")

    def reboot(self) -> None:
        before = self.boot_id()
        self.run("systemd-run --quiet systemctl reboot")
        self.await_boot(before)

    def await_boot(self, before: str) -> None:
        """Another boot, with nothing of ours under way any more."""
        end = time.monotonic() + 120
        while True:
            now, running = self.boot_id(), self.run("systemctl is-system-running; head -c 25 /var/lib/deployer/state")
            if len(now) == len(before) and now != before and running.startswith("running") and "busy" not in running:
                return
            assert time.monotonic() < end, (now, running)
            time.sleep(0.3)

    def leaves_nothing(self) -> bool:
        units = self.run("ls /etc/systemd/system/deployer-recover.service /etc/systemd/system/*/deployer-recover.service")
        left = self.run("systemctl list-units --all --plain --no-legend 'deployer-*'; ls /var/lib/deployer/next-boot.json")
        return units.count("No such file") == 2 and left.count("No such file") == 1 and "deployer-" not in left.split("ls:")[0]


@pytest.fixture
def host(machines: Any, fresh_host: LabHost, tmp_path: Path) -> Rebooting:
    return Rebooting(machines, fresh_host, tmp_path)


def test_hosts_of_two_releases_reboot_in_one_rollout_and_one_that_was_cut_off_while_they_did_is_resumed(
    machines: Any, fresh_hosts: Any, tmp_path: Path
) -> None:
    """Nobody is there to confirm what they come up with: they go back, reboot once more, and are begun again."""
    hosts = [fresh_hosts(1, release=release)[0] for release in ("bullseye", "trixie")]
    fleet = Fleet(tmp_path, machines.lab, *hosts)
    timing = {**PATIENT, "check_deadline": 10, "confirm_timeout": 8}
    fleet.configure(configuration("one", activation=timing))
    first = fleet.deploy()
    assert first.exit_code == 0, first.text
    fleet.configure(configuration("two", activation=timing))

    with fleet.start("deploy", "--yes", "--reboot") as deploy:
        for _ in hosts:
            deploy.until("host_phase_reached", state="rebooting")
        deploy.kill()
    resumed = fleet.run("resume", "--json")

    assert resumed.exit_code == 0, resumed.text
    assert set(resumed.end["outcomes"].values()) == {"confirmed"}
    for host in hosts:
        rebooted = [event for event in resumed.events("host_phase_reached", host=host.name) if event["state"] == "rebooting"]
        assert len(rebooted) == 1
        assert shell(machines.lab, host, "cat /etc/svc.conf /run/svc.now; systemctl is-active svc").split() == [
            "two",
            "two",
            "active",
        ]
        assert " settled 2 " in shell(machines.lab, host, "cat /var/lib/deployer/state")


def outcome(done: Run) -> str:
    (found,) = done.end["outcomes"].values()
    return str(found)


def test_a_test_is_gone_with_a_reboot_and_a_staged_generation_comes_with_one(host: Rebooting) -> None:
    pushed = host.deploy("two", "--goal", "push")
    again = host.deploy("two", "--goal", "push")
    assert [(done.exit_code, outcome(done)) for done in (pushed, again)] == [(0, "pushed"), (0, "unchanged")]
    assert host.shows() == "settled 1 one one active"
    assert host.run("ls /nix/store/*-system -d | wc -l") == "2"

    tested = host.deploy("two", "--goal", "test")
    assert (tested.exit_code, outcome(tested), tested.events("path_copied")) == (0, "confirmed", [])
    assert host.shows() == "pending 2 two two active"
    assert host.fleet.run("status", "--json").documents[0]["next_boot"] == 1
    assert outcome(host.deploy("two", "--goal", "test")) == "unchanged"
    host.reboot()
    assert host.shows() == "settled 1 one one active"
    assert host.leaves_nothing()

    staged = host.deploy("three", "--goal", "boot")
    assert (staged.exit_code, outcome(staged)) == (0, "staged")
    number = staged.events("host_staged")[0]["generation"]
    assert host.shows() == "pending 1 one one active"
    assert outcome(host.deploy("three", "--goal", "boot")) == "unchanged"
    host.reboot()
    assert host.shows() == f"settled {number} three three active"
    assert host.leaves_nothing()
    assert host.deploy("three").end["outcomes"] == {host.host.name: "unchanged"}


def test_a_rollout_reboots_into_the_new_generation_and_out_of_one_that_is_not_good(host: Rebooting) -> None:
    before = host.boot_id()

    done = host.deploy("two", "--reboot")

    assert (done.exit_code, outcome(done)) == (0, "confirmed"), done.text
    states = [event["state"] for event in done.events("host_phase_reached")]
    assert states[:2] == ["staged", "rebooting"]
    assert states[-2:] == ["healthy", "confirmed"] or states[-1] == "healthy"
    second = host.boot_id()
    assert second != before
    assert host.shows() == "settled 2 two two active"
    assert host.leaves_nothing()

    red = host.deploy("three", "--reboot", checks=RED)

    assert (red.exit_code, outcome(red)) == (1, "rolled-back"), red.text
    assert "never" in red.events("host_rolled_back")[0]["reason"]
    assert [event["state"] for event in red.events("host_phase_reached")].count("rebooting") == 2
    host.await_boot(second)
    assert host.shows() == "settled 2 two two active"
    assert host.leaves_nothing()
    assert host.run("ls /var/lib/deployer/profile").split() == ["1-link", "2-link", "current"]
