"""Checks of what only a real host has: a journal, control groups, units, programs that do not end."""

from __future__ import annotations

from deployer.formats.manifest import Check, Timing, Unit
from tests.lab.test_activation import Controller, controller
from tests.lab.test_host_units import SLEEP, declare, move

__all__ = ["controller"]

PATIENT = Timing(unit_timeout=20, check_deadline=15, confirm_timeout=6)
GREEDY = (
    "[Service]\nMemoryAccounting=yes\nExecStart=/usr/bin/python3 -c 'import time; x = b\"x\" * (90 << 20); time.sleep(1000)'\n"
)


def test_the_journal_is_searched_from_the_beginning_of_the_activation_on(controller: Controller) -> None:
    text = "[Service]\nExecStart=/bin/sh -c 'sleep 1; echo {0}: disk on fire; sleep 1000'\n"
    good, bad = Unit("tells.service", text.format("rumour")), Unit("tells.service", text.format("panic"))
    timing = Timing(unit_timeout=20, check_deadline=15, min_healthy_time=3, confirm_timeout=6)
    calm = (
        Check("calm", "journal", pattern="^(panic|oops): .*fire"),
        Check("quiet", "journal", pattern="dis[k]+", unit="ssh.service"),
    )
    controller.run("echo 'panic: long ago' | systemd-cat -t old; journalctl --sync")

    one = declare(controller, good, checks=calm, timing=timing)
    assert move(controller, one, "") == ["start tells.service"]
    outcome = controller.activate(declare(controller, bad, checks=calm, timing=timing), one)

    assert outcome["state"] == "rolled-back"
    assert "calm: it was green, and turned red: the journal says: panic: disk on fire" in outcome["reason"]
    assert {result["name"]: (result["healthy"], result["kind"], result["was_red_before"]) for result in outcome["checks"]} == {
        "calm": (False, "journal", False),
        "quiet": (True, "journal", False),
    }


def test_a_unit_may_use_so_much_memory(controller: Controller) -> None:
    unit = Unit("greedy.service", GREEDY)
    checks = [Check("frugal", "unit", unit=unit.name, memory_max=size << 20, initial_delay=1) for size in (40, 400)]
    way_in = Check("way-in", "unit", unit="ssh.service")
    brief = Timing(unit_timeout=20, check_deadline=5, confirm_timeout=6)

    outcome = controller.activate(declare(controller, unit, checks=(checks[0], way_in), timing=brief), "")
    assert outcome["state"] == "rolled-back"
    assert "MiB, and 40.0 MiB is the most" in outcome["reason"]
    assert move(controller, declare(controller, unit, checks=(checks[1], way_in), timing=PATIENT), "") == ["start greedy.service"]


def test_a_check_that_forks_and_never_ends_leaves_nothing_on_the_host(controller: Controller) -> None:
    script = "(setsid sh -c 'trap \"\" TERM; sleep 71701 & sleep 71701' &); sleep 71701"
    endless = Check("endless", "command", command=("/bin/sh", "-c", script), timeout=1.0)
    brief = Timing(unit_timeout=20, check_deadline=4, confirm_timeout=6)

    outcome = controller.activate(declare(controller, Unit("x.service", SLEEP.format(99)), checks=(endless,), timing=brief), "")

    assert outcome["state"] == "rolled-back"
    assert "did not end within 1 s and was killed" in outcome["reason"]
    assert controller.run("pgrep -f 'sleep 7170[1]' || echo none") == "none"
    assert controller.run("find /sys/fs/cgroup -name 'check-*' -type d") == ""


def test_files_and_units_of_the_host_are_checked_and_asked_again_later(controller: Controller) -> None:
    checks = (
        Check("greeting", "file", path="/etc/greeting", pattern="^hello$", mode="0444"),
        Check("way-in", "tcp", port=22, pattern="^SSH-[0-9.]+-"),
        Check("program", "command", command=("/bin/sh", "-c", "(setsid sleep 71702 &); exit 0")),
    )
    system = declare(controller, files={"greeting": "hello\n"}, checks=checks, timing=PATIENT)

    assert move(controller, system, "") == []
    controller.run("systemctl stop ssh.socket 2>/dev/null; rm /etc/greeting")
    with controller.connect() as connection:
        results = connection.ask("check")["checks"]

    assert [(result["name"], result["healthy"]) for result in results] == [
        ("greeting", False),
        ("way-in", True),
        ("program", True),
    ]
    assert results[0]["message"] == "/etc/greeting is not there"
    assert controller.run("pgrep -f 'sleep 7170[2]' || echo none") == "none"
