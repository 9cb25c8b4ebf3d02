"""Units, checks, accounts and drift through the whole transaction, on real hosts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from deployer.formats.manifest import Check, EtcEntry, Group, Manifest, Timing, Unit, User
from tests.lab.test_activation import QUICK, Controller, controller

__all__ = ["controller"]

SLEEP = "[Service]\nExecStart=/bin/sleep {0}\n"


def declare(controller: Controller, *units: Unit, files: dict[str, str] | None = None, **more: Any) -> str:
    """A system with units, their files, and files of its own."""
    files = dict(files or {})
    links = []
    for unit in units:
        if unit.text:
            files[f"systemd/system/{unit.name}"] = unit.text
        files.update({f"systemd/system/{unit.name}.d/{name}": text for name, text in unit.drop_ins.items()})
        if unit.masked:
            links.append(EtcEntry(f"systemd/system/{unit.name}", "symlink", target="/dev/null"))
    entries = [EtcEntry(path, "link", hashlib.sha256(text.encode()).hexdigest()) for path, text in files.items()]
    return controller.system(Manifest(etc=(*entries, *links), units=units, **{"timing": QUICK, **more}), files)


def done(outcome: dict[str, Any], kind: str = "unit") -> list[str]:
    return [f"{action['operation']} {action['target']}" for action in outcome["actions"] if action["kind"] == kind]


def move(controller: Controller, system: str, previous: str) -> list[str]:
    """Deploy; what was done to units."""
    outcome = controller.activate(system, previous)
    assert outcome.get("state") == "healthy", outcome
    assert controller.confirm()["state"] == "confirmed"
    return done(outcome)


def observe(controller: Controller) -> list[tuple[str, str, str]]:
    with controller.connect() as connection:
        items: Any = connection.ask("observe", ignore=[])["drift"]
    return [(item["kind"], item["target"], item["observed"]) for item in items]


def show(controller: Controller, unit: str, *properties: str) -> str:
    return controller.run(f"systemctl show --value -p {','.join(properties)} {unit}")


def test_our_way_in_is_extended_and_given_back_without_a_stop(controller: Controller) -> None:
    nice = [Unit("ssh.service", drop_ins={"deployer.conf": f"[Service]\nNice={number}\n"}, start=False) for number in (3, 4)]
    one, two, none = declare(controller, nice[0]), declare(controller, nice[1]), declare(controller)
    before = show(controller, "ssh", "Nice")

    assert move(controller, one, "") == ["restart ssh.service"]
    assert show(controller, "ssh", "Nice") == "3"
    assert move(controller, two, one) == ["restart ssh.service"]
    assert show(controller, "ssh", "Nice") == "4"
    assert move(controller, none, two) == ["restart ssh.service"]
    assert show(controller, "ssh", "Nice") == before
    assert controller.run("systemctl list-units --failed --no-legend") == ""


def test_the_journal_takes_up_its_settings_and_gives_them_back(machines: Any, fresh_hosts: Any, tmp_path: Path) -> None:
    controller = Controller(tmp_path, machines.lab.ssh_config, fresh_hosts(1, release="bullseye")[0])
    journald, flush = "systemd-journald.service", "systemd-journal-flush.service"
    # Of both, asked for together, the second now stops the journal while the first still writes to it.
    place = f"/run/systemd/system/{flush}.d"
    controller.run(f"mkdir -p {place}; printf '[Service]\\nExecStop=\\n' >{place}/quick.conf; systemctl daemon-reload")
    given = declare(controller, Unit(journald, drop_ins={"a.conf": "[Service]\nNice=-1\n"}, start=False))
    none, system = declare(controller), ""
    before = show(controller, journald, "Nice")

    for following in [given, none] * 3 + [given]:
        assert move(controller, following, system) == [f"restart {flush}", f"restart {journald}"] * (following != system)
        assert controller.run(f"systemctl is-active {journald} {flush}; systemctl is-system-running") == "active\nactive\nrunning"
        system = following

    with controller.connect() as connection:
        left: Any = connection.ask("uninstall", dry_run=False, discard_kept=False)
    assert [f"{one['operation']} {one['target']}" for one in left["actions"] if one["kind"] == "unit"] == [
        f"restart {flush}",
        f"restart {journald}",
    ]
    assert (show(controller, journald, "Nice"), show(controller, flush, "ActiveState")) == (before, "active")


def test_what_ran_without_a_definition_and_was_stopped_keeps_no_rollback_from_its_end(controller: Controller) -> None:
    left = Unit("kept.service", f"[Unit]\nX-StopOnRemoval=no\n{SLEEP.format(1001)}")
    kept = declare(controller, left, Unit("a.service", SLEEP.format(1001)))
    gone = declare(controller, Unit("a.service", SLEEP.format(1002)))
    fails = Unit("z.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n")
    move(controller, kept, "")
    move(controller, gone, kept)
    assert show(controller, "kept.service", "ActiveState") == "active"

    outcome = controller.activate(declare(controller, Unit("kept.service", masked=True), fails), gone)

    assert outcome["state"] == "rolled-back", outcome
    assert "kept.service: nothing defines any more what it ran with, and it is left inactive" in outcome["log"]
    assert show(controller, "a.service", "ActiveState") == "active"

    # Nor is there anything to go back to where it got another definition.
    move(controller, kept, gone)
    move(controller, gone, kept)
    outcome = controller.activate(declare(controller, Unit("kept.service", SLEEP.format(1003)), fails), gone)
    assert outcome["state"] == "rolled-back", outcome
    assert "kept.service: nothing defines any more what it ran with, and it is left active" in outcome["log"]


def test_a_unit_to_extend_that_is_not_there_is_refused_in_the_plan(controller: Controller) -> None:
    refusal = controller.activate(declare(controller, Unit("no-such.service", drop_ins={"a.conf": "[Service]\nNice=1\n"})), "")

    assert refusal["error"] == "ActivationRefused"
    assert "no such unit to extend" in refusal["message"]


def test_sockets_timers_instances_and_masks_are_switched(controller: Controller) -> None:
    echo = "[Unit]\nX-Version={0}\n[Service]\nExecStart=/bin/cat\nStandardInput=socket\n"
    tick = "[Timer]\nOnCalendar={0}\n"
    timed = Unit("tick.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n", start=False)

    def units(version: str, when: str) -> list[Unit]:
        return [
            Unit("echo.socket", "[Socket]\nListenStream=127.0.0.1:7777\nAccept=yes\n"),
            Unit("echo@.service", echo.format(version), start=False),
            Unit("front.socket", "[Socket]\nListenStream=127.0.0.1:7778\n"),
            Unit("front.service", f"[Unit]\nX-Version={version}\n" + SLEEP.format(1000), start=False),
            Unit("many@.service", SLEEP.format(f"100{version}"), start=False),
            Unit("tick.timer", tick.format(when)),
            timed,
        ]

    one = declare(controller, *units("1", "daily"))
    two = declare(controller, *units("2", "weekly"), Unit("systemd-timesyncd.service", masked=True))
    started = move(controller, one, "")
    assert started == ["start echo.socket", "start front.socket", "start tick.timer"]
    controller.run("systemctl start many@a.service front.service")

    changed = move(controller, two, one)

    assert sorted(changed) == ["restart front.service", "restart many@a.service", "restart tick.timer"]
    assert "1002" in show(controller, "many@a.service", "ExecStart")
    assert "OnCalendar=Mon " in show(controller, "tick.timer", "TimersCalendar")
    assert show(controller, "front.socket", "ActiveState") == "active"
    assert show(controller, "systemd-timesyncd.service", "LoadState") == "masked"
    assert observe(controller) == []
    assert sorted(move(controller, one, two)) == sorted(changed)
    assert "1001" in show(controller, "many@a.service", "ExecStart")


def test_an_instance_runs_its_old_definition_again_after_a_rollback(controller: Controller) -> None:
    one = declare(controller, Unit("many@.service", SLEEP.format(1001), start=False))
    broken = [Unit("many@.service", SLEEP.format(1002), start=False), Unit("bad.service", "[Service]\nExecStart=/no/such\n")]
    move(controller, one, "")
    controller.run("systemctl start many@a.service")

    outcome = controller.activate(declare(controller, *broken), one)

    assert outcome["state"] == "rolled-back"
    assert "bad.service" in outcome["reason"]
    assert show(controller, "many@a.service", "ActiveState") == "active"
    assert "1001" in controller.run("tr '\\0' ' ' < /proc/$(systemctl show --value -p MainPID many@a.service)/cmdline")


def test_a_reload_is_enough_where_the_unit_says_so_and_its_failure_rolls_back(controller: Controller) -> None:
    text = (
        "[Unit]\nX-Reload-Triggers={0}\n[Service]\nExecStart=/bin/sleep 1000\n"
        "ExecReload=/bin/sh -c 'cp /etc/app.conf /run/app.conf; ! grep three /etc/app.conf'\n"
    )

    def system(content: str) -> str:
        return declare(controller, Unit("app.service", text.format(content)), files={"app.conf": content})

    one, two = system("one"), system("two")
    move(controller, one, "")
    pid = show(controller, "app.service", "MainPID")

    assert move(controller, two, one) == ["reload app.service"]
    assert show(controller, "app.service", "MainPID") == pid
    assert controller.run("cat /run/app.conf") == "two"
    outcome = controller.activate(system("three"), two)
    assert outcome["state"] == "rolled-back"
    assert "app.service" in outcome["reason"]
    assert controller.run("cat /etc/app.conf /run/app.conf") == "twotwo"
    assert show(controller, "app.service", "MainPID") == pid


CHECKS = [
    (Check("port", "tcp", port=7999), "port: "),
    (Check("page", "http", url="http://127.0.0.1:7999/"), "page: "),
    (Check("program", "command", command=("/bin/sh", "-c", "echo it hurts >&2; exit 1")), "it hurts"),
    (Check("unit", "unit", unit="dies.service"), "unit: "),
]


@pytest.mark.parametrize(("check", "reason"), CHECKS, ids=[check.name for check, _ in CHECKS])
def test_a_check_that_stays_red_rolls_back(controller: Controller, check: Check, reason: str) -> None:
    dies = Unit("dies.service", "[Service]\nExecStart=/bin/sh -c 'sleep 0.6; exit 1'\nRestart=always\nRestartSec=100ms\n")
    timing = Timing(unit_timeout=20, check_deadline=4, confirm_timeout=6)

    outcome = controller.activate(declare(controller, dies, checks=(check,), timing=timing), "")

    assert outcome["state"] == "rolled-back"
    assert reason in outcome["reason"]
    assert [(result["name"], result["healthy"], result["was_red_before"]) for result in outcome["checks"]] == [
        (check.name, False, True)
    ]
    assert "it was red before this deploy" in outcome["checks"][0]["message"]
    assert show(controller, "dies.service", "LoadState") == "not-found"


def test_a_unit_that_failed_before_does_not_make_a_rollback_fail(controller: Controller) -> None:
    run = "[Service]\nExecStart=/bin/sh -c 'test -e /run/good && exec sleep {0}'\nRestart=always\nRestartSec=1h\n"
    one, two = (declare(controller, Unit("bad.service", run.format(seconds))) for seconds in (1000, 1001))
    controller.run("touch /run/good")
    move(controller, one, "")
    controller.run("rm /run/good; systemctl restart bad")

    outcome = controller.activate(two, one)

    assert outcome["state"] == "rolled-back", outcome
    assert ("unit", "bad.service") in [item[:2] for item in observe(controller)]


def test_restarts_count_from_the_switch_and_not_from_the_first_attempt(controller: Controller) -> None:
    run = "/bin/sh -c 'test -e /run/{0} || {{ touch /run/{0}; sleep 0.5; exit 1; }}; exec sleep 1000'"
    units = [
        Unit(f"{name}.service", f"[Service]\nExecStart={run.format(name)}\nRestart=always\nRestartSec=100ms\n") for name in "ab"
    ]
    timing = Timing(unit_timeout=20, check_deadline=4, confirm_timeout=6)
    checks = tuple(Check("up", "unit", unit=unit.name, initial_delay=2) for unit in units)

    refused = controller.activate(declare(controller, units[0], checks=checks[:1], timing=timing), "")
    assert refused["state"] == "rolled-back"
    assert "has been restarted 1 times since the activation" in refused["reason"]

    one = declare(controller, units[1], timing=timing)
    move(controller, one, "")
    controller.run("sleep 2")
    assert show(controller, "b.service", "NRestarts") == "1"
    assert move(controller, declare(controller, units[1], checks=checks[1:], files={"x": "x"}, timing=timing), one) == []


def test_a_service_that_falls_over_while_it_must_stay_green_rolls_back(controller: Controller) -> None:
    late = Unit("late.service", "[Service]\nExecStart=/bin/sh -c 'sleep 3; exit 1'\nRestart=always\nRestartSec=100ms\n")
    timing = Timing(unit_timeout=20, check_deadline=10, min_healthy_time=6, confirm_timeout=6)
    check = Check("late", "unit", unit="late.service")

    outcome = controller.activate(declare(controller, late, checks=(check,), timing=timing), "")

    assert outcome["state"] == "rolled-back"
    assert "turned red" in outcome["reason"]


def test_drift_is_found_and_set_right(controller: Controller) -> None:
    unit = Unit("app.service", SLEEP.format(1000))
    system = declare(
        controller,
        unit,
        files={"app.conf": "x"},
        users=(User("app", groups=("adm",)),),
        groups=(Group("app"),),
    )
    move(controller, system, "")
    assert observe(controller) == []

    controller.run(
        "systemctl stop app; rm /etc/app.conf; echo by hand > /etc/app.conf; usermod -s /bin/sh app; gpasswd -d app adm;"
        "mkdir -p /etc/systemd/system/app.service.d; printf '[Service]\\nNice=1\\n' > /etc/systemd/system/app.service.d/x.conf"
    )
    found = observe(controller)
    assert ("etc", "/etc/app.conf", "a file") in found
    assert ("unit", "app.service", "inactive (dead)") in found
    assert ("user", "app", "shell /bin/sh") in found
    assert ("group", "adm", "no member app") in found
    assert ("unit", "app.service", "/etc/systemd/system/app.service.d/x.conf") in found

    outcome = controller.activate(system, system, repair=True)
    assert outcome["state"] == "healthy"
    assert controller.confirm()["state"] == "confirmed"
    assert done(outcome) == ["change app.service", "start app.service"]
    assert observe(controller) == []
    assert controller.run("cat /var/lib/deployer/kept/*x.conf") == "[Service]\nNice=1"
    assert controller.state().startswith("deployer-state 1 settled 1 ")


def test_accounts_are_made_locked_and_opened_again_to_the_byte(controller: Controller) -> None:
    texts = "cat /etc/passwd /etc/group /etc/shadow /etc/gshadow; ls /etc | grep -E '^(passwd|group|shadow|gshadow)'"
    before = controller.run(texts)
    with_app = declare(controller, users=(User("app", shell="/bin/sh", home="/srv/app", create_home=True, system=False),))
    without = declare(controller)

    move(controller, with_app, "")
    uid = controller.run("id -u app")
    assert controller.run("stat -c '%U %a' /srv/app") == "app 750"
    assert controller.run("runuser -u app -- id -un") == "app"
    move(controller, without, with_app)
    assert "account expired" in controller.run("su app -c true 2>&1; chage -l app").lower().replace(
        "has expired", "account expired"
    )
    assert controller.run("getent passwd app").endswith(":/usr/sbin/nologin")
    move(controller, with_app, without)
    assert controller.run("id -u app") == uid
    assert controller.run("su app -c 'id -un' 2>&1") == "app"
    assert controller.run("pwck -rq; grpck -r") == ""

    with controller.connect() as connection:
        connection.ask("uninstall", dry_run=False)
    assert controller.run(texts) == before


def test_a_program_that_stops_a_service_finds_all_as_it_was_and_the_service_starts_with_the_new(controller: Controller) -> None:
    """Nothing is read in between; nothing is left of how that is done."""

    def version(number: int) -> str:
        stop = f"ExecStop=/bin/sh -c 'echo {number} $A $$(cat /etc/web.conf) >>/run/stops'\n"
        text = f"[Service]\nExecStart=/bin/sleep {1000 + number}\n{stop}Environment=A={number}\n"
        return declare(controller, Unit("web.service", text), files={"web.conf": f"file {number}\n"})

    one, two, three = version(1), version(2), version(3)
    move(controller, one, "")

    assert move(controller, two, one) == ["stop web.service", "start web.service"]
    assert move(controller, three, two) == ["stop web.service", "start web.service"]

    assert controller.run("cat /run/stops").splitlines() == ["1 1 file 1", "2 2 file 2"]
    process = "/proc/$(systemctl show --value -p MainPID web)"
    assert (
        controller.run(f"tr '\\0' ' ' <{process}/cmdline; tr '\\0' '\\n' <{process}/environ | grep ^A=") == "/bin/sleep 1003 A=3"
    )
    assert controller.run("ls /run/systemd/system.control 2>&1 || true").endswith("No such file or directory")
    assert show(controller, "web", "NeedDaemonReload") == "no"
    assert show(controller, "web", "FragmentPath") == "/etc/systemd/system/web.service"
    assert observe(controller) == []
