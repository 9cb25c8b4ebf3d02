"""What goes wrong on a host, or with its controller, is undone by the host itself, within its own deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from deployer.lab import LabHost, crash, start
from tests.lab.fleet import Fleet, Run
from tests.lab.standing import shell

QUICK: Final = {"unit_timeout": 10, "check_deadline": 4, "confirm_timeout": 5}
GO: Final = "cp /etc/svc.conf /run/svc.now; exec sleep 3600"
"""The service shows in /run/svc.now which configuration it runs with."""
DIES: Final = {"Type": "simple", "Restart": "always", "RestartSec": "200ms"}
WAY_BACK: Final = 90.0
"""Seconds that any of these may take, far beyond the deadlines above."""


def configuration(setting: str, script: str = GO, *, service: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """A service with a setting, both of them watched."""
    about = {"Type": "exec", "ExecStart": f"/bin/sh -c '{script}'", **(service or {})}
    unit = {
        "wanted_by": ["multi-user.target"],
        "check": True,
        "service": about,
        "after": [],
        "unit": {"Documentation": "file:/etc/svc.conf"},
    }
    services = {"svc": unit, **more.pop("services", {})}
    systemd = {"services": services, **more.pop("systemd", {})}
    etc = {"svc.conf": {"text": f"{setting}\n"}, **more.pop("etc", {})}
    timing = {**QUICK, **more.pop("activation", {})}
    return {"etc": etc, "systemd": systemd, "activation": timing, **more}


class Patient:
    """A host with generation 1 on it, which every failure must lead back to."""

    def __init__(self, machines: Any, host: LabHost, directory: Path) -> None:
        self.machines, self.host = machines, host
        self.fleet = Fleet(directory, machines.lab, host)
        self.fleet.configure(configuration("one"))
        done = self.fleet.deploy()
        assert done.exit_code == 0, done.text
        self.good = self.state()
        assert self.good.startswith("deployer-state 1 settled 1 /nix/store/")

    def run(self, command: str) -> str:
        return shell(self.machines.lab, self.host, command)

    def state(self) -> str:
        return self.run("cat /var/lib/deployer/state")

    def deploy(self, changed: dict[str, Any]) -> Run:
        self.fleet.configure(changed)
        done = self.fleet.deploy()
        assert "Traceback" not in done.text
        return done

    def is_back(self) -> bool:
        """Whether it stands on the recorded generation; the epoch counts transactions and goes on."""
        return self.state().split()[:5] == self.good.split()[:5]

    def await_return(self) -> None:
        """Poll until it is back, for as long as anything may take."""
        end = time.monotonic() + WAY_BACK
        while not self.is_back():
            assert time.monotonic() < end, self.state()
            time.sleep(0.2)

    def assert_whole(self) -> None:
        """The old generation, the old file, the old service, and nothing left of the transaction."""
        assert self.is_back(), self.state()
        assert self.run("cat /etc/svc.conf /run/svc.now; systemctl is-active svc ssh") == "one\none\nactive\nactive"
        assert self.run("systemctl list-units --all --plain --no-legend 'deployer-*'") == ""
        assert (
            self.run("ls /etc/systemd/system/deployer-recover.service /etc/systemd/system/*/deployer-recover.service 2>/dev/null")
            == ""
        )
        assert self.run("systemctl is-system-running") == "running", self.run("systemctl --failed --no-pager")


@pytest.fixture
def patient(machines: Any, fresh_host: LabHost, tmp_path: Path) -> Patient:
    return Patient(machines, fresh_host, tmp_path)


def assert_rolled_back(done: Run, *words: str) -> None:
    """The exit code, the event and its reason."""
    assert done.exit_code == 1, done.text
    event = done.events("host_rolled_back")[-1]
    assert event["generation"] == 1
    for word in words:
        assert word in event["reason"]
    assert set(done.end["outcomes"].values()) == {"rolled-back"}
    assert done.end["exit_code"] == 1


@pytest.mark.parametrize(
    ("script", "service"),
    [("echo cannot serve; exit 3", {"Type": "oneshot"}), ("echo cannot serve; exit 3", {"Type": "exec"})],
    ids=["in its start job", "right after it"],
)
def test_a_unit_that_fails_to_start_is_undone_and_its_last_words_are_shown(
    patient: Patient, script: str, service: dict[str, str]
):
    done = patient.deploy(configuration("two", script, service=service))

    assert_rolled_back(done, "svc")
    assert any("cannot serve" in line for line in done.events("host_rolled_back")[-1]["log"]), done.text
    patient.assert_whole()


def test_a_unit_that_crashes_over_and_over_after_it_was_active_is_undone(patient: Patient):
    script = "echo losing my grip; sleep 0.7; exit 3"

    done = patient.deploy(configuration("two", script, service=DIES, activation={"min_healthy_time": 4}))

    assert_rolled_back(done, "svc")
    assert any("losing my grip" in line for line in done.events("host_rolled_back")[-1]["log"]), done.text
    patient.assert_whole()


def test_a_check_that_stays_red_is_told_and_undoes_the_change_within_its_deadline(patient: Patient):
    began = time.monotonic()
    red = {"kind": "command", "command": ["/bin/sh", "-c", "echo the well is dry; exit 1"]}

    done = patient.deploy(configuration("two", "echo nothing to drink; " + GO, checks={"well": red}))

    assert_rolled_back(done, "well")
    assert time.monotonic() - began < 30
    reported = [event["result"] for event in done.events("check_reported") if event["result"]["name"] == "well"]
    assert not reported[-1]["healthy"]
    assert "svc.service: nothing to drink" in done.events("host_rolled_back")[-1]["log"]
    patient.assert_whole()


def test_the_same_closure_again_with_a_check_that_is_still_red_is_undone_again_and_good_once_it_is_green(patient: Patient):
    red = {"kind": "file", "path": "/run/well", "interval": 0.2}
    changed = configuration("two", checks={"well": red})

    for _ in range(2):
        assert_rolled_back(patient.deploy(changed), "well")
        patient.assert_whole()
    patient.run("touch /run/well")
    good = patient.fleet.deploy()
    patient.run("rm /run/well")
    again = patient.fleet.deploy()

    assert (good.exit_code, set(good.end["outcomes"].values())) == (0, {"confirmed"}), good.text
    assert (again.exit_code, set(again.end["outcomes"].values())) == (0, {"unchanged"}), again.text
    assert patient.run("cat /etc/svc.conf; systemctl is-active svc") == "two\nactive"
    assert patient.fleet.run("status", "--check").exit_code == 1


def test_people_are_told_that_the_host_went_back_and_why(patient: Patient):
    patient.fleet.configure(configuration("two", "echo cannot serve; exit 3"))

    done = patient.fleet.run("deploy", "--yes")

    assert done.exit_code == 1
    assert "rolled back" in done.text
    assert "svc" in done.text
    assert "cannot serve" in done.text
    patient.assert_whole()


BLACKHOLE: Final = {
    "wanted_by": ["multi-user.target"],
    "service": {
        "Type": "oneshot",
        "RemainAfterExit": "yes",
        "ExecStart": "/bin/ip route add blackhole 192.0.2.1/32",
        "ExecStop": "/bin/ip route del blackhole 192.0.2.1/32",
    },
}


def _no_route() -> dict[str, Any]:
    return configuration("two", services={"cut": BLACKHOLE})


def _other_port() -> dict[str, Any]:
    return configuration(
        "two", systemd={"extend": {"ssh.service": {"Service": {"ExecStart": ["", "/usr/sbin/sshd -D -p 2222"]}}}}
    )


def _no_listener() -> dict[str, Any]:
    return configuration(
        "two",
        etc={"ssh/sshd_config.d/cut.conf": {"text": "ListenAddress 127.0.0.1\n"}},
        systemd={"extend": {"ssh.service": {"Unit": {"Documentation": "file:/etc/ssh/sshd_config.d/cut.conf"}}}},
    )


@pytest.mark.parametrize("cut", [_no_route, _other_port, _no_listener], ids=["route", "port", "sshd_config"])
def test_a_configuration_that_cuts_ssh_off_is_undone_by_the_host_alone(patient: Patient, cut: Callable[[], dict[str, Any]]):
    began = time.monotonic()

    done = patient.deploy(cut())

    assert time.monotonic() - began < WAY_BACK
    assert_rolled_back(done, "no confirmation came over a fresh connection in time")
    patient.assert_whole()


def test_an_sshd_that_does_not_start_is_undone(patient: Patient):
    wrong = configuration(
        "two", systemd={"extend": {"ssh.service": {"Service": {"ExecStart": ["", "/usr/sbin/sshd -D -o Nonsense=yes"]}}}}
    )

    assert_rolled_back(patient.deploy(wrong), "ssh.service")
    patient.assert_whole()


def test_a_controller_that_is_killed_before_it_confirms_leaves_a_host_that_goes_back_by_itself(patient: Patient):
    patient.fleet.configure(configuration("two", activation={"min_healthy_time": 2}))

    with patient.fleet.start("deploy") as deploy:
        deploy.until("host_phase_reached", state="checking")
        deploy.kill()
    assert "busy" in patient.state()
    patient.await_return()

    patient.assert_whole()
    status = patient.fleet.run("status", "--json").documents[0]
    assert (status["state"], status["generation"]) == ("rolled-back", 1)
    assert "no confirmation" in status["reason"]


@pytest.mark.parametrize("phase", ["switching", "checking"])
def test_a_host_that_crashes_in_the_middle_is_on_the_recorded_generation_after_its_boot(patient: Patient, phase: str):
    slow = "sleep 2; " + GO
    patient.fleet.configure(
        configuration("two", slow, service={"ExecStartPre": "/bin/sleep 2"}, activation={"min_healthy_time": 4})
    )

    with patient.fleet.start("deploy") as deploy:
        deploy.until("host_phase_reached", state=phase)
        patient.machines.do(crash(patient.host))
        patient.machines.do(start(patient.host))
        patient.await_return()
        code = deploy.wait()

    patient.assert_whole()
    assert code == 1
    back = [event for event in deploy.seen if event["event"] == "host_rolled_back"]
    assert "restarted" in back[-1]["reason"]
