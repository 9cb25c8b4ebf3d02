"""Checks from the controller: green before it confirms, or the host goes back at once and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from deployer.lab import LabHost
from tests.lab.fleet import Fleet, Run
from tests.lab.standing import shell

TIMES: Final = {"unit_timeout": 20, "check_deadline": 8, "confirm_timeout": 16}
SERVE: Final = "/usr/bin/python3 -m http.server 8080 --directory /etc/site"


def configuration(page: str, *, wanted: str = "hello") -> dict[str, Any]:
    """A page that the host serves, looked at from outside; and its own way in."""
    outside = {"kind": "http", "from": "controller", "url": "http://${host.address}:8080/page", "body": wanted, "interval": 0.2}
    return {
        "etc": {"site/page": {"text": page}},
        "systemd": {"services": {"site": {"wanted_by": ["multi-user.target"], "service": {"ExecStart": SERVE}}}},
        "checks": {
            "inside": {"kind": "file", "path": "/etc/site/page"},
            "outside": outside,
            "way-in": {"kind": "tcp", "from": "controller", "address": "${host.address}", "port": 22, "pattern": "^SSH-[0-9.]+-"},
        },
        "activation": TIMES,
    }


def results(done: Run) -> dict[str, dict[str, Any]]:
    return {event["result"]["name"]: event["result"] for event in done.events("check_reported")}


def test_a_host_is_confirmed_only_once_the_controller_finds_it_healthy(machines: Any, fresh_host: LabHost, tmp_path: Path):
    fleet = Fleet(tmp_path, machines.lab, fresh_host)

    fleet.configure(configuration("hello"))
    first = fleet.deploy()

    assert first.exit_code == 0, first.text
    told = {name: (one["healthy"], one["from_controller"], one["was_red_before"]) for name, one in results(first).items()}
    assert told == {"inside": (True, False, True), "outside": (True, True, True), "way-in": (True, True, False)}

    fleet.configure(configuration("goodbye"))
    second = fleet.deploy()

    assert second.exit_code == 1, second.text
    reason = second.events("host_rolled_back")[-1]["reason"]
    assert reason.startswith("outside (from the controller): http://")
    assert "without the text 'hello'" in reason
    assert results(second)["outside"]["was_red_before"] is False
    assert shell(machines.lab, fresh_host, "cat /etc/site/page") == "hello"
    status = fleet.run("status", "--json").documents[0]
    assert (status["generation"], status["state"], status["reason"]) == (1, "rolled-back", reason)

    fleet.configure(configuration("hello", wanted="hell"))
    third = fleet.deploy()
    looked = fleet.run("status", "--check")
    fleet.configure(configuration("hello", wanted="nothing"))
    asked = fleet.run("status", "--check", "--json")

    assert [event["event"] for event in third.events("host_unchanged")] == ["host_unchanged"]
    assert looked.exit_code == 0, looked.text
    assert "outside (http from the controller): healthy" in looked.stdout
    assert "inside (file): healthy" in looked.stdout
    assert asked.exit_code == 1, asked.text
    assert {one["name"]: one["healthy"] for one in asked.documents[0]["checks"]} == {
        "inside": True,
        "outside": False,
        "way-in": True,
    }
