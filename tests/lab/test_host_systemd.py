"""The door to systemd, on the releases that hosts have: PID 1 of systemd 247, 252 and 257."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from deployer.generation.runtime import runtime_image
from deployer.lab import LabHost

PRELUDE = """\
import json, os, sys, time
sys.path.insert(0, "/root/deployer.pyz")
from deployer.host.systemd import Systemd
systemd = Systemd()
ETC = "/etc/systemd/system/"
def unit(name, text):
    os.makedirs(os.path.dirname(ETC + name), exist_ok=True)
    with open(ETC + name, "w") as file:
        file.write(text)
def timed(work):
    began = time.monotonic()
    return work(), round(time.monotonic() - began, 2)
def plain(state):
    return {key: getattr(state, key) for key in state.__dataclass_fields__}
answer = None
"""
RELEASES = {"bullseye": 247, "bookworm": 252, "trixie": 257}

OnHost = Callable[[str], Any]


@pytest.fixture(params=list(RELEASES))
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def host(fresh_hosts: Callable[..., tuple[LabHost, ...]], release: str) -> LabHost:
    return fresh_hosts(1, release=release)[0]


@pytest.fixture
def ask(machines: Any, host: LabHost) -> OnHost:
    """Run Python on the host, with `systemd` and a few helpers; what it leaves in `answer`."""
    (host.disk / "root/root/deployer.pyz").write_bytes(runtime_image())

    def run(script: str) -> Any:
        ssh = ["ssh", "-F", str(machines.lab.ssh_config), host.name]
        source = PRELUDE + script + "\nprint(json.dumps(answer))\n"
        ended = subprocess.run([*ssh, "python3 -I -"], input=source, check=False, capture_output=True, text=True, timeout=90)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run


def test_units_are_seen_as_they_are(ask: OnHost, release: str) -> None:
    answer = ask(
        """
unit("once.service", "[Service]\\nType=oneshot\\nExecStart=/bin/true\\n")
unit("stays.service", "[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/true\\n")
unit("not-here.service", "[Unit]\\nConditionPathExists=/no/such\\n[Service]\\nExecStart=/bin/sleep 100\\n")
unit("many@.service", "[Service]\\nExecStart=/bin/sleep 100\\n")
unit("garbage.service", "ExecStart=/bin/true\\n")
os.symlink("/dev/null", ETC + "hidden.service")
os.symlink("../not-here.service", ETC + "multi-user.target.wants/not-here.service")
systemd.daemon_reload()
failed = systemd.change("start", ["once.service", "stays.service", "not-here.service", "many@a.service", "many@b.service"], 20)
unit("stays.service.d/more.conf", "[Service]\\nNice=1\\n")
names = ["ssh.service", "once.service", "stays.service", "not-here.service", "many@.service", "garbage.service",
         "hidden.service", "no-such.service", "dbus.socket"]
states = systemd.states(names)
version = int(os.popen("systemctl --version").read().split()[1])
answer = [version, dict(failed), {name: plain(state) for name, state in states.items()},
          [name for name, state in states.items() if state.is_active], [n for n, s in states.items() if s.is_done]]
"""
    )
    version, failed, states, active, done = answer

    assert version == RELEASES[release]
    assert failed == {}
    assert sorted(active) == ["dbus.socket", "many@a.service", "many@b.service", "ssh.service", "stays.service"]
    assert sorted(done) == ["not-here.service", "once.service"]
    loads = {name: state["load"] for name, state in states.items()}
    assert loads["many@.service"] == "template"
    assert loads["hidden.service"] == "masked"
    assert loads["no-such.service"] == "not-found"
    assert loads["garbage.service"] == "bad-setting"
    assert loads["ssh.service"] == "loaded"
    assert states["ssh.service"]["shipped"]
    assert states["ssh.service"]["main_pid"] > 1
    assert states["ssh.service"]["fragment"].endswith("/lib/systemd/system/ssh.service")
    assert states["stays.service"]["fragment"] == "/etc/systemd/system/stays.service"
    assert not states["stays.service"]["shipped"]
    assert states["stays.service"]["needs_reload"]
    assert not states["once.service"]["needs_reload"]


def test_units_change_together_and_failures_are_told_by_name(ask: OnHost) -> None:
    answer = ask(
        """
unit("good.service", "[Service]\\nExecStart=/bin/sleep 1000\\n")
unit("bad.service", "[Service]\\nType=oneshot\\nExecStart=/bin/sh -c 'echo the reason; exit 3'\\n")
unit("absent.service", "[Service]\\nExecStart=/no/such/program\\n")
unit("loops.service", "[Service]\\nExecStart=/bin/false\\nRestart=always\\nRestartSec=60\\n")
unit("needs.service", "[Unit]\\nRequires=bad.service\\nAfter=bad.service\\n[Service]\\nExecStart=/bin/sleep 1000\\n")
systemd.daemon_reload()
names = ["good.service", "bad.service", "absent.service", "loops.service", "needs.service", "no-such.service"]
failed = dict(systemd.change("start", names, 20))
active = [name for name, state in systemd.states(names).items() if state.active == "active"]
answer = [failed, active, list(systemd.log_tail("bad.service", 5)), dict(systemd.change("restart", ["good.service"], 20)),
          dict(systemd.change("stop", ["good.service", "loops.service", "bad.service"], 20)),
          [name for name, state in systemd.states(names).items() if state.is_active]]
"""
    )
    failed, active, log, restarted, stopped, left = answer

    assert active == ["good.service"]
    assert sorted(failed) == ["absent.service", "bad.service", "loops.service", "needs.service", "no-such.service"]
    assert "status 3" in failed["bad.service"]
    assert "203" in failed["absent.service"]
    assert "auto-restart" in failed["loops.service"]
    assert "a unit that it needs" in failed["needs.service"] or "ependency" in failed["needs.service"]
    assert "not found" in failed["no-such.service"]
    assert "the reason" in log
    assert (restarted, stopped, left) == ({}, {}, [])


def test_reloads_that_fail_are_noticed(ask: OnHost) -> None:
    answer = ask(
        """
unit("fine.service", "[Service]\\nExecStart=/bin/sleep 1000\\nExecReload=/bin/true\\n")
unit("sore.service", "[Service]\\nExecStart=/bin/sleep 1000\\nExecReload=/bin/false\\n")
unit("deaf.service", "[Service]\\nExecStart=/bin/sleep 1000\\n")
systemd.daemon_reload()
names = ["fine.service", "sore.service", "deaf.service"]
assert not systemd.change("start", names, 20)
answer = dict(systemd.change("reload", names, 20))
"""
    )

    assert sorted(answer) == ["deaf.service", "sore.service"]


def test_what_hangs_is_cancelled_at_the_deadline_and_keeps_no_other_from_starting(ask: OnHost) -> None:
    answer = ask(
        """
unit("hangs.service", "[Service]\\nType=oneshot\\nExecStart=/bin/sleep 1000\\n")
unit("stuck.service", "[Service]\\nExecStart=/bin/sh -c 'trap \\"\\" TERM; while :; do sleep 1; done'\\nTimeoutStopSec=300\\n")
unit("after.service", "[Unit]\\nAfter=hangs.service\\n[Service]\\nExecStart=/bin/sleep 1000\\n")
unit("other.service", "[Service]\\nExecStart=/bin/sleep 1000\\n")
systemd.daemon_reload()
assert not systemd.change("start", ["stuck.service"], 20)
time.sleep(0.5)
started, took = timed(lambda: systemd.change("start", ["hangs.service", "after.service", "other.service"], 2))
jobs = [state.job for state in systemd.states(["hangs.service", "after.service"]).values()]
stopped, took_too = timed(lambda: systemd.change("stop", ["stuck.service"], 2))
other = systemd.states(["other.service"])["other.service"].active
began = time.monotonic()
systemd.kill("stuck.service")
answer = [dict(started), took, jobs, dict(stopped), took_too, other, systemd.states(["stuck.service"])["stuck.service"].active]
"""
    )
    started, took, jobs, stopped, took_too, other, stuck = answer

    assert sorted(started) == ["after.service", "hangs.service"]
    assert "it did not start within 2 s" in started["hangs.service"]
    assert jobs == [0, 0]
    assert "still deactivating" in stopped["stuck.service"] or "did not stop within 2 s" in stopped["stuck.service"]
    assert 2 <= took < 4
    assert 2 <= took_too < 4
    assert other == "active"
    assert stuck in ("failed", "inactive")


def test_a_unit_that_was_started_too_often_may_be_started_again(ask: OnHost) -> None:
    answer = ask(
        """
unit("often.service", "[Unit]\\nStartLimitBurst=2\\nStartLimitIntervalSec=1000\\n"
     "[Service]\\nType=oneshot\\nExecStart=/usr/bin/test -e /run/go\\n")
systemd.daemon_reload()
first = [bool(systemd.change("start", ["often.service"], 20)) for _ in range(4)]
open("/run/go", "w").close()
answer = [first, dict(systemd.change("start", ["often.service"], 20))]
"""
    )

    assert answer == [[True] * 4, {}]


def test_a_timer_fires_a_command_to_the_letter_and_again_until_it_is_discarded(ask: OnHost) -> None:
    answer = ask(
        """
command = ["/bin/sh", "-c", "printf '%s|' \\"$1\\" \\"$HOME\\" >> /run/fired", "sh", "$PATH ${USER} 100% a b"]
systemd.start_timer("deployer-test", command, 1, 1)
timer = systemd.states(["deployer-test.timer"])["deployer-test.timer"]
deadline = time.monotonic() + 15
while time.monotonic() < deadline and (not os.path.exists("/run/fired") or open("/run/fired").read().count("100%") < 2):
    time.sleep(0.1)
took = time.monotonic() - deadline + 15
second = ""
try:
    systemd.start_timer("deployer-test", command, 1, 1)
except Exception as error:
    second = error.message
systemd.discard("deployer-test.timer")
fired = open("/run/fired").read()
time.sleep(2.5)
answer = [timer.active, fired.split("|")[0], took, second, open("/run/fired").read() == fired,
          systemd.states(["deployer-test.timer"])["deployer-test.timer"].active]
"""
    )
    active, word, took, second, quiet, left = answer

    assert active == "active"
    assert word == "$PATH ${USER} 100% a b"
    assert took < 12
    assert "deployer-test.timer" in second
    assert quiet
    assert left == "inactive"


def test_a_service_is_of_one_name_bounded_in_time_and_tells_of_its_failure(ask: OnHost) -> None:
    answer = ask(
        """
unit("told.service", "[Service]\\nType=oneshot\\nExecStart=/bin/touch /run/told\\n")
systemd.daemon_reload()
properties = {"Description": "a test", "KillMode": "control-group", "RuntimeMaxSec": "2", "OnFailure": "told.service"}
command = ["/bin/sh", "-c", "sleep 1000 & echo $! > /run/child; wait"]
systemd.start_service("deployer-test.service", command, properties)
second = ""
try:
    systemd.start_service("deployer-test.service", command, properties)
except Exception as error:
    second = error.message
deadline = time.monotonic() + 15
while time.monotonic() < deadline and not os.path.exists("/run/told"):
    time.sleep(0.1)
child = int(open("/run/child").read())
state = systemd.states(["deployer-test.service"])["deployer-test.service"]
answer = [second, os.path.exists("/run/told"), os.path.exists(f"/proc/{child}"), state.result, str(state)]
systemd.start_service("deployer-test.service", ["/bin/true"], properties)
"""
    )
    second, told, child, result, words = answer

    assert "deployer-test.service" in second
    assert told
    assert not child
    assert result == "timeout"
    assert words == "failed (failed, result timeout, status 15)"


def test_the_journal_is_read_from_where_it_was(ask: OnHost) -> None:
    answer = ask(
        """
unit("says.service", "[Service]\\nType=oneshot\\nExecStart=/bin/sh -c 'cat /run/words'\\n")
systemd.daemon_reload()
open("/run/words", "w").write("old words\\n")
systemd.change("start", ["says.service"], 20)
cursor = systemd.journal_cursor()
open("/run/words", "w").write("new \\x1b[31mwords\\n" + "x" * 3000 + "\\n")
systemd.change("start", ["says.service"], 20)
answer = [list(systemd.journal_lines(after=cursor, unit="says.service", timeout=20)[0]),
          list(systemd.log_tail("says.service", 50)),
          list(systemd.journal_lines(after="", unit="says.service", timeout=20)[0])]
"""
    )
    after, last, boot = answer

    for lines in (after, last):
        assert "new [31mwords" in lines
        assert "old words" not in lines
    assert "old words" in boot
    assert max(map(len, last)) == 500


def test_it_works_without_dbus(ask: OnHost) -> None:
    answer = ask(
        """
os.system("systemctl stop dbus.socket dbus.service 2>/dev/null")
unit("good.service", "[Service]\\nExecStart=/bin/sleep 1000\\n")
systemd.daemon_reload()
failed = dict(systemd.change("start", ["good.service"], 20))
systemd.start_timer("deployer-test", ["/bin/true"], 100, 100)
answer = [systemd.states(["dbus.service"])["dbus.service"].active, failed,
          systemd.states(["good.service"])["good.service"].active, dict(systemd.change("stop", ["good.service"], 20)),
          systemd.states(["deployer-test.timer"])["deployer-test.timer"].active]
"""
    )

    assert answer == ["inactive", {}, "active", {}, "active"]
