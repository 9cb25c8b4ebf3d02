"""Units that hang, and a systemd that refuses: each ends in the old generation, whole, within the time that a job has."""

from __future__ import annotations

import hashlib

import pytest

from deployer.formats.manifest import EtcEntry, Manifest, Timing, Unit
from tests.lab.test_activation import Controller, controller
from tests.lab.test_host_units import declare, done, move, show

__all__ = ["controller"]

SHORT = Timing(unit_timeout=2, check_deadline=5, confirm_timeout=6)
DEAF = "/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.2; done'"
GOOD = "[Service]\nExecStart=/bin/sleep 1000\n"

HANGS = {
    "start": (GOOD, "[Service]\nType=notify\nExecStart=/bin/sleep 1001\nTimeoutStartSec=infinity\n"),
    "stop": (f"[Service]\nExecStart={DEAF}\nTimeoutStopSec=infinity\n", GOOD),
    "stop by a program": (f"{GOOD}ExecStop=/bin/sleep 1000\nTimeoutStopSec=infinity\n", GOOD),
    "reload": (
        f"[Unit]\nX-Reload-Triggers=1\n{GOOD}ExecReload=/bin/sleep 1000\nTimeoutStartSec=infinity\n",
        f"[Unit]\nX-Reload-Triggers=2\n{GOOD}ExecReload=/bin/sleep 1000\nTimeoutStartSec=infinity\n",
    ),
}


@pytest.mark.parametrize("hang", list(HANGS))
def test_a_unit_that_hangs_takes_the_host_back(controller: Controller, hang: str) -> None:
    before, after = HANGS[hang]
    other, changed = Unit("other.service", GOOD), Unit("other.service", GOOD.replace("1000", "1001"))
    one = declare(controller, Unit("web.service", before), other, timing=SHORT)
    move(controller, one, "")

    outcome = controller.activate(declare(controller, Unit("web.service", after), changed, timing=SHORT), one)

    assert outcome["state"] == "rolled-back", outcome
    assert "web.service" in outcome["reason"]
    assert "within 2 s" in outcome["reason"] or "still deactivating" in outcome["reason"]
    assert show(controller, "web.service", "ActiveState") == "active"
    assert "sleep 1000" in controller.run("ps -o args= -p $(systemctl show --value -p MainPID other.service)")
    assert controller.run("cat /etc/systemd/system/web.service") == before.strip()
    assert controller.run("systemctl list-jobs --no-legend") == ""
    assert controller.run("systemctl is-system-running") == "running"


def test_a_unit_that_hangs_as_it_goes_is_stopped_in_the_rollback_too(controller: Controller) -> None:
    """The new unit fails, and does not end either."""
    one = declare(controller, Unit("web.service", GOOD), timing=SHORT)
    move(controller, one, "")
    stuck = Unit("stuck.service", f"[Service]\nExecStart={DEAF}\nTimeoutStopSec=infinity\n")
    fails = Unit("fails.service", "[Unit]\nAfter=stuck.service\n[Service]\nType=oneshot\nExecStart=/bin/false\n")

    outcome = controller.activate(declare(controller, Unit("web.service", GOOD), stuck, fails, timing=SHORT), one)

    assert outcome["state"] == "rolled-back", outcome
    assert show(controller, "stuck.service", "LoadState", "ActiveState").split() == ["not-found", "inactive"]


def test_a_refused_reload_takes_the_host_back_with_what_systemd_has_loaded(controller: Controller) -> None:
    """systemd refuses to reload where /run is nearly full."""
    stops = GOOD + "ExecStop=/bin/true\n"
    one, two = (declare(controller, Unit("web.service", text), timing=SHORT) for text in (stops, stops.replace("1000", "1001")))
    move(controller, one, "")
    controller.run("mount -o remount,size=8M /run")

    outcome = controller.activate(two, one)

    assert outcome["state"] == "rolled-back", outcome
    assert "daemon-reload" in outcome["reason"]
    assert done(outcome) == []
    assert show(controller, "web.service", "ActiveState") == "active"
    assert "sleep 1000" in controller.run("ps -o args= -p $(systemctl show --value -p MainPID web.service)")
    controller.run("mount -o remount,size=20% /run")
    assert move(controller, two, one) == ["stop web.service", "start web.service"]


def test_a_generator_that_hangs_takes_the_host_back_though_systemd_is_deaf_meanwhile(controller: Controller) -> None:
    """systemd answers nobody while generators run, and ends those that hang after a minute and a half."""
    one = declare(controller, Unit("web.service", GOOD), timing=SHORT)
    move(controller, one, "")
    pid, generator, web = show(controller, "web.service", "MainPID"), "#!/bin/sh\nexec sleep 1002\n", GOOD.replace("1000", "1001")
    files = {"systemd/system/web.service": web, "systemd/system-generators/hang": generator}
    kinds = {"systemd/system/web.service": ("link", "0644"), "systemd/system-generators/hang": ("file", "0755")}
    entries = tuple(
        EtcEntry(path, kinds[path][0], hashlib.sha256(text.encode()).hexdigest(), mode=kinds[path][1])
        for path, text in files.items()
    )
    two = controller.system(Manifest(etc=entries, units=(Unit("web.service", web),), timing=SHORT), files)

    outcome = controller.activate(two, one)

    assert outcome["state"] == "rolled-back", outcome
    assert "a generator may hang" in outcome["reason"]
    assert controller.run("cat /etc/systemd/system/web.service") == GOOD.strip()
    assert controller.run("ls /etc/systemd/system-generators") == ""
    assert show(controller, "web.service", "ActiveState", "NeedDaemonReload").split() == ["active", "no"]
    assert show(controller, "web.service", "MainPID") == pid
    assert controller.run("systemctl is-system-running") == "running"


def test_a_unit_file_that_says_nothing_takes_the_host_back(controller: Controller) -> None:
    one = declare(controller, Unit("web.service", GOOD), timing=SHORT)
    move(controller, one, "")
    pid = show(controller, "web.service", "MainPID")

    outcome = controller.activate(declare(controller, Unit("web.service", "gibberish\n"), timing=SHORT), one)

    assert outcome["state"] == "rolled-back"
    assert "web.service: systemd does not accept it" in outcome["reason"]
    assert show(controller, "web.service", "MainPID") == pid
