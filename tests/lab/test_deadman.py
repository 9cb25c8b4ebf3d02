"""The dead-man's switch on real hosts, with one part of it after the other taken away."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deployer.formats.manifest import Timing
from deployer.host.disk import Disk
from deployer.host.journal import Journal
from deployer.lab import crash, start
from deployer.lab.machines import leader
from tests.lab.test_activation import LISTING, TWO, Controller, web
from tests.lab.test_rollback import Patient, configuration, patient

__all__ = ["patient"]

ACTIVATION = "deployer-activation.service"
BRIEF = Timing(unit_timeout=4, check_deadline=1, confirm_timeout=1)
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
    """Both at once: each waits for the whole time that an activation may take. A new unit does the harm, in its start job."""
    cuts = ("systemctl kill -s KILL deployer-sentinel.service", "systemctl stop deployer-deadman.timer")

    def harm(controller: Controller, cut: str) -> tuple[str, str, str, str]:
        one = web(controller, "one")
        script = f"{cut}; systemctl daemon-reload; systemctl list-units --all >/run/left; systemctl kill -s STOP {ACTIVATION}"
        unit = f"[Service]\nType=oneshot\nExecStart=/bin/sh -c '{script}; sleep 3600'\n"
        two = web(controller, "two", unit, timing=BRIEF)
        controller.deploy(one, "")
        etc = controller.run(LISTING)
        return one, etc, controller.activate(two, one)["state"], controller.run("grep deployer- /run/left")

    with ThreadPoolExecutor(2) as both:
        found = list(both.map(harm, controllers, cuts))

    for controller, (one, etc, state, left), survivor in zip(controllers, found, ("timer", "sentinel"), strict=True):
        assert ("deployer-deadman.timer" in left, "deployer-sentinel.service" in left) == (
            survivor == "timer",
            survivor == "sentinel",
        )
        assert state == "rolled-back"
        assert f"settled 1 {one}" in controller.state()
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


WAITS = Timing(unit_timeout=20, check_deadline=10, confirm_timeout=12)
BRIEF_WAIT = Timing(unit_timeout=20, check_deadline=10, confirm_timeout=8)


def test_of_two_controllers_one_wins_the_other_is_told_who_and_an_older_epoch_is_fenced(
    controllers: list[Controller],
) -> None:
    first = controllers[0]
    one, two = web(first, "one", timing=WAITS), web(first, "two", timing=WAITS)
    first.deploy(one, "")

    assert first.activate(two, one, epoch=8)["state"] == "healthy"
    transaction = first.transaction
    refusal = first.activate(two, one, epoch=9)
    assert refusal["error"] == "HostBusy"
    assert "alice@laptop" in refusal["message"]
    first.transaction = transaction
    assert first.confirm()["state"] == "confirmed"

    assert first.activate(one, two, epoch=7)["error"] == "Fenced"
    assert f"settled 2 {two}" in first.state()


WRONG_CLOCK = """\
import time

right = time.time


def wrong():
    with open("/run/clock") as shift:
        return right() + float(shift.read())


time.time = wrong
time.time_ns = lambda: int(wrong() * 1e9)
"""
YEAR = 365 * 86400


def test_a_clock_that_is_wrong_or_jumps_by_a_year_changes_nothing_about_deadlines(controllers: list[Controller]) -> None:
    """The clock as all Pythons of the host see it: the kernel's own is that of the machine that the tests run on."""
    host = controllers[0]
    host.run(f"echo 3600 >/run/clock; cat >/etc/python3.11/sitecustomize.py <<'END'\n{WRONG_CLOCK}END")
    one, two = web(host, "one", timing=BRIEF_WAIT), web(host, "two", TWO, motd=False, timing=BRIEF_WAIT)

    def ahead() -> float:
        return float(host.run("python3 -I -c 'import time; print(time.time())'")) - time.time()

    assert 3500 < ahead() < 3700
    host.deploy(one, "")

    assert host.activate(two, one)["state"] == "healthy"
    host.run(f"echo {YEAR} >/run/clock")
    assert ahead() > YEAR - 100
    assert host.confirm()["state"] == "confirmed"
    host.deploy(one, two)

    assert host.activate(two, one)["state"] == "healthy"
    began = time.monotonic()
    host.run(f"echo {-YEAR} >/run/clock")
    assert "busy" in host.state()
    assert f" settled 3 {one} " in host.wait_for("settled")
    assert time.monotonic() - began < BRIEF_WAIT.confirm_timeout + 20
    assert "no confirmation" in Journal(Disk(host.host.disk / "root")).read().reason


def test_a_disk_that_is_full_when_the_host_must_go_back_does_not_stop_it(controllers: list[Controller]) -> None:
    """A small file system for all that is ours beside the store: the journal is allocated, and the reserve gives way."""
    host = controllers[0]
    host.run("mkdir -p /var/lib/deployer && mount -t tmpfs -o size=24m,mode=711 small /var/lib/deployer")
    one, two = web(host, "one", timing=WAITS), web(host, "two", TWO, motd=False, timing=WAITS)
    host.deploy(one, "")
    etc = host.run(LISTING)

    assert host.activate(two, one)["state"] == "healthy"
    host.run("cat /dev/zero >/var/lib/deployer/fill")
    assert host.run("df --output=avail /var/lib/deployer | tail -1") == "0"

    assert f"settled 1 {one}" in host.wait_for("settled")
    assert host.run(LISTING) == etc
    host.wait_until_empty(OURS)
    host.run("cat /dev/zero >/var/lib/deployer/fill")
    assert host.activate(two, one)["error"] == "NoSpace"
    assert f"settled 1 {one}" in host.state()


def test_a_host_whose_first_process_is_frozen_at_the_deadline_goes_back_once_that_goes_on(controllers: list[Controller]) -> None:
    host = controllers[0]
    one, two = web(host, "one", timing=WAITS), web(host, "two", TWO, motd=False, timing=WAITS)
    host.deploy(one, "")
    etc = host.run(LISTING)
    assert host.activate(two, one)["state"] == "healthy"
    first = leader(host.host)
    assert first is not None

    os.kill(first, signal.SIGSTOP)
    try:
        journal, end = Journal(Disk(host.host.disk / "root")), time.monotonic() + 60
        while journal.read().state == "healthy" and time.monotonic() < end:
            time.sleep(0.1)
        assert journal.read().state == "rolling-back"
    finally:
        os.kill(first, signal.SIGCONT)

    assert f"settled 1 {one}" in host.wait_for("settled")
    assert host.run(LISTING) == etc
    assert host.run("systemctl is-active web.service") == "active"
    host.wait_until_empty(OURS)
