"""Whole rollouts over real hosts: plans that hold, waves that stop, hosts that are out of reach, runs that are cut off."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

import pytest

from deployer.lab import LabHost, cut, heal
from tests.lab.fleet import Fleet, Run
from tests.lab.standing import shell

QUICK: Final = {"unit_timeout": 10, "check_deadline": 3, "confirm_timeout": 6}
WRITTEN: Final = "find /var/lib/deployer /etc /nix -printf '%p %T@ %i\\n' | sort; cat /var/lib/deployer/state"
SERVICE: Final = "systemctl show svc -p MainPID -p ActiveEnterTimestampMonotonic -p InvocationID"


def configuration(setting: str, *, healthy: bool = True, **activation: Any) -> dict[str, Any]:
    """A service with a setting, and a check."""
    service = {"Type": "exec", "ExecStart": "/bin/sh -c 'cp /etc/svc.conf /run/svc.now; exec sleep 3600'"}
    unit = {"wanted_by": ["multi-user.target"], "unit": {"Documentation": "file:/etc/svc.conf"}, "service": service}
    return {
        "etc": {"svc.conf": {"text": f"{setting}\n"}},
        "systemd": {"services": {"svc": unit}},
        "checks": {"mood": {"kind": "command", "command": ["/bin/true" if healthy else "/bin/false"]}},
        "activation": {**QUICK, **activation},
    }


class Site:
    """Some pristine hosts and a controller."""

    def __init__(self, machines: Any, hosts: tuple[LabHost, ...], directory: Path) -> None:
        self.machines, self.hosts = machines, hosts
        self.names = [host.name for host in hosts]
        self.fleet = Fleet(directory, machines.lab, *hosts)

    def on(self, number: int, command: str) -> str:
        return shell(self.machines.lab, self.hosts[number], command)

    def deploy(self, setting: str, *arguments: str, exit_code: int = 0, **more: Any) -> Run:
        self.fleet.configure(configuration(setting, **more))
        done = self.fleet.deploy(*arguments)
        assert done.exit_code == exit_code, done.text
        assert done.end["exit_code"] == exit_code
        return done

    def settings(self) -> list[str]:
        """What each host's service runs with."""
        return [self.on(number, "cat /run/svc.now") for number in range(len(self.hosts))]

    def generations(self) -> list[int]:
        return [int(self.on(number, "cat /var/lib/deployer/state").split()[3]) for number in range(len(self.hosts))]

    def outcomes(self, done: Run) -> list[str]:
        return [done.end["outcomes"][name] for name in self.names]


@pytest.fixture
def site(machines: Any, fresh_hosts: Callable[..., tuple[LabHost, ...]], tmp_path: Path) -> Callable[[int], Site]:
    return lambda count: Site(machines, fresh_hosts(count), tmp_path)


def actions(document: dict[str, Any]) -> list[dict[str, str]]:
    return list(document["actions"])


def test_what_the_plan_says_is_what_is_done_in_that_order(site: Callable[[int], Site]):
    here = site(2)
    for setting in ("one", "two"):
        here.fleet.configure(configuration(setting))
        planned = here.fleet.run("plan", "--json").documents[-1]["hosts"]
        done = here.deploy(setting)

        for name in here.names:
            assert planned[name]["actions"]
            assert [event["action"] for event in done.events("action_done", host=name)] == planned[name]["actions"]
    assert here.settings() == ["two", "two"]


def test_a_host_that_is_where_it_should_be_is_reported_unchanged_and_nothing_on_it_is_touched(site: Callable[[int], Site]):
    here = site(2)
    here.deploy("one")
    here.fleet.configure(configuration("two"), "other.yaml")
    here.fleet.configurations[here.names[1]] = "other.yaml"
    before = here.on(0, f"{SERVICE}; {WRITTEN}")

    done = here.deploy("one")

    assert here.outcomes(done) == ["unchanged", "confirmed"]
    assert [event["host"] for event in done.events("host_unchanged")] == [here.names[0]]
    assert here.generations() == [1, 2]
    assert here.on(0, f"{SERVICE}; {WRITTEN}") == before
    again = here.deploy("one")
    assert here.outcomes(again) == ["unchanged", "unchanged"]
    assert here.on(0, f"{SERVICE}; {WRITTEN}") == before


def test_a_canary_that_fails_leaves_all_other_hosts_untouched(site: Callable[[int], Site]):
    here = site(3)
    here.deploy("one")
    here.fleet.rollout = {"canary": 1}
    before = [here.on(number, f"{SERVICE}; {WRITTEN}") for number in (1, 2)]

    done = here.deploy("two", healthy=False, exit_code=1)

    assert here.outcomes(done) == ["rolled-back", "not-started", "not-started"]
    assert done.events("wave_started")[0]["canary"]
    assert [here.on(number, f"{SERVICE}; {WRITTEN}") for number in (1, 2)] == before
    assert (here.settings(), here.generations()) == (["one"] * 3, [1, 1, 1])


def test_rollback_all_takes_back_the_hosts_that_were_done_before_one_failed(site: Callable[[int], Site]):
    here = site(3)
    here.deploy("one")
    here.fleet.rollout = {"max_parallel": 1, "on_failure": "rollback-all"}
    here.fleet.configure(configuration("two", healthy=False), "bad.yaml")
    here.fleet.configurations[here.names[1]] = "bad.yaml"

    done = here.deploy("two", exit_code=1)

    assert here.outcomes(done) == ["returned", "rolled-back", "not-started"]
    assert done.end["ending"] == "rolled-back"
    assert (here.settings(), here.generations()) == (["one"] * 3, [1, 1, 1])


def test_failures_within_the_budget_and_a_host_out_of_reach_end_with_3_and_are_told(site: Callable[[int], Site]):
    here = site(3)
    here.deploy("one")
    here.fleet.rollout = {"max_parallel": 1, "max_failures": 1, "max_unreachable": 1}
    here.fleet.connections = {here.names[2]: {"connect_timeout": 2}}
    here.fleet.configure(configuration("two", healthy=False), "bad.yaml")
    here.fleet.configurations[here.names[0]] = "bad.yaml"
    here.machines.do(cut(here.hosts[2]))
    try:
        done = here.deploy("two", exit_code=3)
        over = here.deploy("three", "--max-unreachable", "0", exit_code=1)
    finally:
        here.machines.do(heal(here.hosts[2]))

    assert here.outcomes(done) == ["rolled-back", "confirmed", "unreachable"]
    assert done.end["ending"] == "partial"
    assert done.events("host_unreachable")[0]["error"]["message"]
    assert here.outcomes(over)[2] == "unreachable"
    assert here.settings() == ["one", "two", "one"]


def test_a_rollback_to_a_generation_is_seen_in_status_and_history(site: Callable[[int], Site]):
    here = site(1)
    for setting in ("one", "two", "three"):
        here.deploy(setting)

    back = here.fleet.run("rollback", "--to", "1", "--json")
    status = here.fleet.run("status", "--json", "--check").documents[0]
    history = here.fleet.run("history", "--json").documents
    missing = here.fleet.run("rollback", "--to", "9", "--json")

    assert back.exit_code == 0, back.text
    assert (here.settings(), here.generations()) == (["one"], [1])
    assert (status["state"], status["generation"], status["checks"][0]["healthy"]) == ("confirmed", 1, True)
    assert [generation["number"] for generation in status["generations"]] == [1, 2, 3]
    assert [rollout["command"] for rollout in history] == ["rollback", "deploy", "deploy", "deploy"]
    assert {(rollout["state"], rollout["exit_code"]) for rollout in history} == {("done", 0)}
    assert missing.exit_code == 1
    assert "it has 1, 2, 3" in missing.text
    assert here.generations() == [1]


def test_a_second_deploy_while_one_is_under_way_is_refused_and_names_the_holder(site: Callable[[int], Site]):
    here = site(1)
    here.deploy("one")
    here.fleet.configure(configuration("two", min_healthy_time=4))

    with here.fleet.start("deploy") as first:
        first.until("host_phase_reached", state="checking")
        second = here.fleet.run("deploy", "--json")
        code = first.wait()

    holder = here.fleet.run("history", "--json").documents[-1]["by"]
    assert second.exit_code == 1
    assert "HostLocked" in second.text
    assert holder in second.text
    assert code == 0
    assert here.settings() == ["two"]


def test_of_two_controllers_on_two_machines_one_wins_and_the_other_is_told_who_holds_the_host(
    site: Callable[[int], Site], tmp_path: Path
):
    """Neither knows the other's locks. What is activated waits for a file, so that it lasts as long as the test needs."""
    here = site(1)
    here.deploy("one")
    (tmp_path / "desk").mkdir()
    fleets = {"laptop": here.fleet, "desk": Fleet(tmp_path / "desk", here.machines.lab, *here.hosts)}
    for machine, fleet in fleets.items():
        fleet.machine = machine
        waits = configuration(machine, check_deadline=90)
        fleet.configure({**waits, "checks": {"told": {"kind": "command", "command": ["/usr/bin/test", "-e", "/run/told"]}}})

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as both:
        running = {machine: stack.enter_context(fleet.start("deploy", "--yes")) for machine, fleet in fleets.items()}
        ends = {both.submit(process.wait): machine for machine, process in running.items()}
        loser = ends[next(as_completed(ends))]
        again = fleets[loser].run("deploy", "--json")
        here.on(0, "touch /run/told")
        codes = {machine: end.result() for end, machine in ends.items()}

    (winner,) = set(fleets) - {loser}
    assert codes == {winner: 0, loser: 1}
    assert again.exit_code == 1
    for seen in (running[loser].seen, again.documents):
        (error,) = [event["error"] for event in seen if event.get("event") == "host_failed"]
        assert error["error"] == "HostBusy"
        assert f"@{winner}" in error["message"]
    assert here.settings() == [winner]


def test_the_confirmation_comes_over_a_connection_of_its_own_whatever_ssh_is_told_to_share(
    site: Callable[[int], Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = site(1)
    (tmp_path / "home/.ssh").mkdir(parents=True)
    shares = f"Host *\n  ControlMaster auto\n  ControlPath {tmp_path}/home/master-%C\n  ControlPersist 10m\n"
    (tmp_path / "home/.ssh/config").write_text(shares)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    accepted = "s/^Accepted publickey for root from .* port \\([0-9]*\\) .*/\\1/p"
    logins = f"journalctl --sync; journalctl -t sshd -o cat | sed -n '{accepted}'"
    before = here.on(0, logins).split()

    here.deploy("one")

    ours = here.on(0, logins).split()[len(before) : -1]  # the last is that of the question itself
    assert len(ours) == len(set(ours)) == 2
    assert not list((tmp_path / "home").glob("master-*"))


def test_a_resumed_deploy_does_no_host_twice(site: Callable[[int], Site]):
    here = site(3)
    here.deploy("one")
    here.fleet.rollout = {"max_parallel": 1, "waves": [1]}
    here.fleet.configure(configuration("two", min_healthy_time=1))

    with here.fleet.start("deploy") as first:
        first.until("host_confirmed", host=here.names[0])
        first.kill()
    was = here.on(0, SERVICE)
    resumed = here.fleet.run("resume", "--json")

    assert resumed.exit_code == 0, resumed.text
    assert {event["host"] for event in resumed.events("host_started")} <= set(here.names[1:])
    assert here.outcomes(resumed) == ["confirmed", "confirmed", "confirmed"]
    assert here.on(0, SERVICE) == was
    assert (here.settings(), here.generations()) == (["two"] * 3, [2, 2, 2])
    assert here.fleet.run("resume", "--json").exit_code == 2


def test_a_saved_plan_is_done_exactly(site: Callable[[int], Site]):
    here = site(1)
    here.deploy("one")
    here.fleet.configure(configuration("two"))
    assert here.fleet.run("plan", "--out", "saved.json").exit_code == 0
    saved = json.loads((here.fleet.directory / "saved.json").read_text())["hosts"][here.names[0]]

    done = here.fleet.deploy("saved.json")

    assert done.exit_code == 0, done.text
    assert [event["action"] for event in done.events("action_done")] == saved["actions"]
    assert here.settings() == ["two"]


@pytest.mark.parametrize("interference", ["systemctl stop svc", "rm /etc/svc.conf", "configuration"])
def test_a_saved_plan_that_no_longer_holds_is_refused_and_nothing_is_changed(site: Callable[[int], Site], interference: str):
    here = site(1)
    here.deploy("one")
    here.fleet.configure(configuration("two"))
    assert here.fleet.run("plan", "--out", "saved.json").exit_code == 0
    if interference == "configuration":
        here.fleet.configure(configuration("three"))
    else:
        here.on(0, interference)
    before = here.on(0, f"{SERVICE}; {WRITTEN}")

    done = here.fleet.deploy("saved.json")

    assert done.exit_code == 1, done.text
    assert "PlanChanged" in done.text
    assert here.on(0, f"{SERVICE}; {WRITTEN}") == before
