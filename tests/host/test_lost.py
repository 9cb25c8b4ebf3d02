"""`/nix` was removed by hand under an active generation: we can leave, go on to another system, and get the same one back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deployer.formats.messages import CONFIRMED
from deployer.host.lost import remembered
from deployer.host.refusals import SystemLost
from deployer.host.standing import read_ledger
from deployer.host.uninstall import uninstall
from deployer.host.verdict import check_now, observe_now
from tests.host.test_crashes import deploy, first_system, second_system
from tests.host.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The first system is current, and its store is gone."""
    world = World(tmp_path / "host")
    assert deploy(world.machine(), first_system(world), "", 1) == CONFIRMED
    shutil.rmtree(world.root / "nix/store")
    return world


def test_uninstalling_does_what_the_ledger_tells(tmp_path: Path, world: World) -> None:
    found = {action.target for action in uninstall(world.machine(), dry_run=False)}

    assert {"web.service", "/etc/motd", "web", "net.ipv4.ip_forward"} <= found
    before = World(tmp_path / "other").etc()
    assert world.etc() == before
    assert world.systemd.active() == {}
    assert world.system.sysctl("net.ipv4.ip_forward") == "0"
    assert not (world.root / "var/lib/deployer").exists()


def test_another_system_follows_and_what_it_does_not_declare_goes(world: World) -> None:
    system = world.machine().profile.current().system

    assert deploy(world.machine(), second_system(world), system, 2) == CONFIRMED

    assert "--two" in world.systemd.active()["web.service"]
    assert (world.root / "etc/motd").read_text() == "welcome\n"
    assert world.system.sysctl("net.ipv4.ip_forward") == "0"
    assert observe_now(world.machine(), ()) == ()


def test_the_same_system_is_set_right_once_it_is_back(world: World) -> None:
    system = world.machine().profile.current().system
    world.systemd.change("stop", ["web.service"], 1)
    (world.root / "etc/deep/er/real").write_text("by hand")
    assert [(item.kind, item.observed) for item in observe_now(world.machine(), ())] == [("generation", "not there")]

    assert first_system(world) == system
    assert deploy(world.machine(), system, system, 2, repair=True) == CONFIRMED

    assert "--one" in world.systemd.active()["web.service"]
    assert observe_now(world.machine(), ()) == ()


def test_what_needs_the_system_says_so(world: World) -> None:
    with pytest.raises(SystemLost) as caught:
        check_now(world.machine())

    assert "deployer deploy" in caught.value.remedy


def test_units_are_remembered_by_their_files(world: World) -> None:
    found = remembered(read_ledger(world.machine().disk))

    assert [unit.name for unit in found.units] == ["web.service"]
