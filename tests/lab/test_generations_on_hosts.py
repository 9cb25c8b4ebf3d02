"""The generations of a host: what is listed, compared, kept and removed, and what stays because something needs it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from deployer.lab import LabHost
from tests.lab.fleet import Fleet, Run
from tests.lab.standing import shell

QUICK = {"unit_timeout": 10, "check_deadline": 4, "confirm_timeout": 10}
UNIT = {"wanted_by": ["multi-user.target"], "service": {"Type": "exec", "ExecStart": "/bin/sleep 3600"}}


class Keeper:
    """A host that keeps two generations."""

    def __init__(self, machines: Any, host: LabHost, directory: Path) -> None:
        self.machines, self.host = machines, host
        self.fleet = Fleet(directory, machines.lab, host)

    def deploy(self, text: str, **more: Any) -> None:
        etc = {"page": {"text": text}}
        self.fleet.configure({"etc": etc, "generations": {"keep": 2}, "activation": QUICK, **more})
        done = self.fleet.deploy()
        assert done.exit_code == 0, done.text

    def ask(self, *arguments: str) -> Run:
        done = self.fleet.run("generations", *arguments)
        assert "Traceback" not in done.text
        return done

    def listed(self) -> dict[int, dict[str, Any]]:
        (document,) = self.ask("list", "--json").documents
        return {generation["number"]: generation for generation in document["generations"]}

    def run(self, command: str) -> str:
        return shell(self.machines.lab, self.host, command)

    def wait_for_collection(self) -> None:
        end = time.monotonic() + 60
        while self.run("systemctl is-active deployer-collect.service") in ("active", "activating"):
            assert time.monotonic() < end
            time.sleep(0.2)


@pytest.fixture
def keeper(machines: Any, fresh_host: LabHost, tmp_path: Path) -> Keeper:
    return Keeper(machines, fresh_host, tmp_path)


def test_a_host_holds_what_its_policy_and_its_own_needs_keep_and_gives_the_rest_back(keeper: Keeper) -> None:
    keeper.deploy("one")
    first = keeper.listed()[1]["system"]
    keeper.run(f"systemd-run --unit=holder --working-directory={first} sleep 3600")
    assert keeper.ask("pin", "1").exit_code == 0
    keeper.deploy("two", systemd={"services": {"web": UNIT}})
    keeper.deploy("three", users={"worker": {}})
    keeper.deploy("four")
    keeper.wait_for_collection()

    # What the boot began with was nothing of ours; 1 is pinned, and 2 is neither new nor needed.
    listed = keeper.listed()
    assert {number: generation["kept"] for number, generation in listed.items()} == {
        1: ["pinned"],
        3: ["recorded", "one of the newest 2"],
        4: ["current", "last confirmed", "one of the newest 2"],
    }
    assert all(generation["bytes"] > 100_000 for generation in listed.values())
    assert keeper.run("ls /nix/var/deployer/gcroots | sort") == "generation-1\ngeneration-3\ngeneration-4\ngood"
    assert keeper.run("ls -d /nix/store/*-system | wc -l") == "3"

    (found,) = keeper.ask("diff", "--json", "3").documents
    assert (found["before"], found["after"]) == (3, 4)
    assert [(action["kind"], action["operation"], action["target"]) for action in found["actions"]] == [
        ("etc", "change", "/etc/page"),
        ("user", "remove", "worker"),
    ]
    assert "~ etc /etc/page  # content" in keeper.ask("diff").stdout

    refused = keeper.ask("delete", "1", "3")
    assert (refused.exit_code, "generation 1 is needed: pinned" in refused.text) == (2, True)
    missing = keeper.ask("pin", "2")
    assert (missing.exit_code, "there are 1, 3, 4" in missing.text) == (2, True)
    assert set(keeper.listed()) == {1, 3, 4}

    # A process of somebody's is in the first system, so it stays when its generation goes.
    assert keeper.ask("unpin", "1").exit_code == 0
    tried = keeper.ask("delete", "--dry-run", "--json", "1", "3").documents[0]
    assert [generation["number"] for generation in tried["generations"]] == [1, 3]
    assert set(keeper.listed()) == {1, 3, 4}
    done = keeper.ask("delete", "--json", "1", "3").documents[0]
    assert first not in done["paths"]
    assert keeper.run(f"ls -d {first}") == first
    keeper.run("systemctl stop holder")
    collected = keeper.ask("collect", "--json").documents[0]
    assert first in collected["paths"]
    assert keeper.run("ls /nix/store/*-system -d") == keeper.listed()[4]["system"]


def test_a_generation_is_switched_to_by_its_number_and_then_kept_as_the_current_one(keeper: Keeper) -> None:
    keeper.deploy("one")
    keeper.deploy("two")

    tried = keeper.fleet.run("generations", "switch", "1", "--dry-run")
    done = keeper.fleet.run("generations", "switch", "1", "--json")

    assert "/etc/page" in tried.stdout
    assert done.exit_code == 0, done.text
    assert keeper.run("cat /etc/page") == "one"
    listed = keeper.listed()
    assert listed[1]["current"]
    assert "last confirmed" in listed[1]["kept"]
    collected = keeper.ask("collect", "--keep", "1", "--json").documents[0]
    assert collected["generations"] == []
    missing = keeper.fleet.run("generations", "switch", "7")
    assert missing.exit_code == 1
    assert "it has no generation 7; it has 1, 2" in missing.text
