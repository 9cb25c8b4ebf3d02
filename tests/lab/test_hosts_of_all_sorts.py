"""Hosts as they come: other releases, without Python, or with half of one."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from deployer.build import BuildSettings, realise
from deployer.generation.interpreter import interpreter
from deployer.lab import crash, start
from deployer.lab.bases import RELEASES, VARIANTS
from deployer.packages import PackageSet
from deployer.store import Store
from tests.lab.fleet import Fleet
from tests.lab.standing import shell, standing

RED = {
    "etc": {"greeting": {"text": "bye\n"}},
    "checks": {"red": {"kind": "command", "command": ["/bin/false"]}},
    "activation": {"check_deadline": 2},
}
GREETING = {"etc": {"greeting": {"text": "hello\n"}}}
SORTS = [("trixie", "full"), ("bookworm", "minimal-python"), ("bookworm", "no-python")]
if os.environ.get("DEPLOYER_ALL_SORTS"):
    SORTS = [(release, base) for release in RELEASES for base in VARIANTS if base in ("full", "minimal-python", "no-python")]


@pytest.fixture(scope="session")
def store_with_pythons(machines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a store that has the Python to send already: a lab has no way to a mirror."""
    root = tmp_path_factory.mktemp("pythons")
    store, packages = Store(root), PackageSet({})
    made = interpreter(packages, platform.machine(), store.store_dir)
    packages.write(store, [made])
    machines.do(realise(store, [made.path], settings=BuildSettings()))
    return root


@pytest.mark.parametrize(("release", "base"), SORTS)
def test_a_host_is_planned_deployed_rolled_back_and_left_as_it_was(
    machines, fresh_hosts, store_with_pythons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, base: str
):
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(store_with_pythons))
    (host,) = fresh_hosts(1, release=release, base=base)
    fleet = Fleet(tmp_path, machines.lab, host)

    def on_host(command: str) -> str:
        return shell(machines.lab, host, command)

    before = standing(machines.lab, host)
    fleet.configure(GREETING)
    planned = fleet.run("plan")
    assert planned.exit_code == 0, planned.text
    assert standing(machines.lab, host) == before

    deployed = fleet.deploy()
    assert deployed.exit_code == 0, deployed.text
    assert on_host("cat /etc/greeting") == "hello"
    own = on_host("readlink /nix/var/deployer/gcroots/interpreter")
    assert own.endswith("-host-python") if base != "full" else own == ""

    fleet.configure(RED)
    assert fleet.deploy().exit_code == 1
    assert on_host("cat /etc/greeting") == "hello"
    assert fleet.run("status", "--check").exit_code == 0

    left = fleet.run("uninstall", "--yes")
    assert left.exit_code == 0, left.text
    assert standing(machines.lab, host) == before


def test_a_host_brought_a_python_goes_back_by_itself_after_a_power_cut(
    machines, fresh_hosts, store_with_pythons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(store_with_pythons))
    (host,) = fresh_hosts(1, base="no-python")
    fleet = Fleet(tmp_path, machines.lab, host)
    fleet.configure(GREETING)
    assert fleet.deploy().exit_code == 0
    fleet.configure({**GREETING, **RED, "activation": {"check_deadline": 60}})

    with fleet.start("deploy", "--yes") as running:
        running.until("host_phase_reached", state="checking")
        machines.do(crash(host))
        running.kill()
    machines.do(start(host))

    assert shell(machines.lab, host, "cat /etc/greeting") == "hello"
    assert " settled 1 " in shell(machines.lab, host, "cat /var/lib/deployer/state")


def test_a_host_without_python_is_told_so_before_anything_is_built_where_none_can_be_sent(machines, fresh_hosts, tmp_path: Path):
    (host,) = fresh_hosts(1, base="no-python")
    fleet = Fleet(tmp_path, machines.lab, host)
    fleet.configure(GREETING)

    refused = fleet.run("deploy", "--yes")

    assert refused.exit_code == 1
    assert "there is no python3 on it, and the one to send could not be made here" in refused.text
    assert "Install python3" in refused.text
    assert not list((tmp_path / "data").rglob("*-system"))
    assert shell(machines.lab, host, "ls -d /var/lib/deployer* /nix") == "\n".join(
        f"ls: cannot access '{path}': No such file or directory" for path in ("/var/lib/deployer*", "/nix")
    )
