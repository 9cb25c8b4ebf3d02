"""The dead-man's switch on real hosts, with one part of it after the other taken away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.formats.manifest import Timing
from deployer.lab import crash, start
from tests.lab.test_activation import LISTING, TWO, Controller, web
from tests.lab.test_rollback import Patient, configuration, patient

__all__ = ["patient"]

BRIEF = Timing(unit_timeout=1, check_deadline=1, confirm_timeout=1)
OURS = "systemctl list-units --all --plain --no-legend 'deployer-*'"


@pytest.fixture
def controllers(machines: Any, fresh_hosts: Any, tmp_path: Path) -> list[Controller]:
    """Two, of a host each."""
    hosts = fresh_hosts(2)
    places = [tmp_path / host.name for host in hosts]
    for place in places:
        place.mkdir()
    return [Controller(place, machines.lab.ssh_config, host) for place, host in zip(places, hosts, strict=True)]


def test_a_frozen_service_is_undone_by_the_timer_or_by_the_sentinel_whichever_is_left(controllers: list[Controller]) -> None:
    """Both at once: each waits for the whole time that an activation may take."""
    cuts = ("kill -9 $(systemctl show -P MainPID deployer-sentinel.service)", "systemctl stop deployer-deadman.timer")
    before = []
    for controller, cut in zip(controllers, cuts, strict=True):
        one, two = web(controller, "one"), web(controller, "two", TWO, timing=BRIEF)
        controller.deploy(one, "")
        before.append((one, controller.run(LISTING)))
        assert controller.activate(two, one)["state"] == "healthy"
        controller.run(f"systemctl kill -s STOP deployer-activation.service; {cut}")
        controller.run("systemctl daemon-reload; systemctl daemon-reexec")
    left = [controller.run(OURS) for controller in controllers]
    assert ["deployer-deadman.timer" in units for units in left] == [True, False]
    assert ["deployer-sentinel.service" in units for units in left] == [False, True]

    for controller, (one, etc) in zip(controllers, before, strict=True):
        assert f"settled 1 {one}" in controller.wait_for("settled", 130)
        assert controller.run(LISTING) == etc
        controller.wait_until_empty(OURS)


LOOKS_EARLY = """\
[Unit]
DefaultDependencies=no
After=network-pre.target local-fs.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cp /etc/svc.conf /run/seen-by-the-network'
[Install]
WantedBy=sysinit.target
"""


def look_early(patient: Patient) -> None:
    """Have something that starts with the network keep what it sees."""
    patient.run(f"cat >/etc/systemd/system/looks.service <<'END'\n{LOOKS_EARLY}END\nsystemctl enable looks.service")


def test_a_crash_while_it_waits_is_undone_before_the_network_is_up(patient: Patient) -> None:
    look_early(patient)
    patient.fleet.configure(configuration("two", activation={"min_healthy_time": 4}))

    with patient.fleet.start("deploy") as deploy:
        deploy.until("host_phase_reached", state="checking")
        patient.machines.do(crash(patient.host))
        patient.machines.do(start(patient.host))
        patient.await_return()
        assert deploy.wait() == 1

    assert patient.run("cat /run/seen-by-the-network") == "one"
    patient.assert_whole()


def test_a_crash_while_it_waits_is_confirmed_again_where_so_configured(patient: Patient) -> None:
    look_early(patient)
    patient.fleet.configure(configuration("two", activation={"min_healthy_time": 4, "on_reboot": "confirm-again"}))

    with patient.fleet.start("deploy") as deploy:
        deploy.until("host_phase_reached", state="checking")
        patient.machines.do(crash(patient.host))
        patient.machines.do(start(patient.host))
        code = deploy.wait()

    assert code == 0, deploy.seen[-5:]
    states = [event["state"] for event in deploy.seen if event["event"] == "host_phase_reached"]
    assert states[-4:] == ["checking", "restarted", "checking", "healthy"]
    assert patient.run("cat /run/seen-by-the-network /etc/svc.conf /run/svc.now") == "two\ntwo\ntwo"
    assert " settled 2 " in patient.state()
    assert patient.run(OURS) == ""


def test_a_second_crash_while_it_waits_is_undone(patient: Patient) -> None:
    waits = {"min_healthy_time": 30, "check_deadline": 10, "on_reboot": "confirm-again"}
    patient.fleet.configure(configuration("two", activation=waits))

    with patient.fleet.start("deploy") as deploy:
        deploy.until("host_phase_reached", state="checking")
        for _ in range(2):
            patient.machines.do(crash(patient.host))
            patient.machines.do(start(patient.host))
        patient.await_return()
        assert deploy.wait() == 1

    patient.assert_whole()
