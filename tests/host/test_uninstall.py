"""Leaving: what people wrote by hand is not lost without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.formats.messages import CONFIRMED
from deployer.host.refusals import KeptFiles
from deployer.host.uninstall import uninstall, would_lose
from tests.host.test_crashes import deploy, first_system, second_system
from tests.host.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two generations; what somebody wrote into the first was overwritten by the second."""
    world = World(tmp_path / "host")
    one, two = first_system(world), second_system(world)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    (world.root / "etc/deep/er/real").write_text("precious\n")
    assert deploy(world.machine(), two, one, 2) == CONFIRMED
    return world


def kept(world: World) -> list[str]:
    return [f"/var/lib/deployer/kept/{name}" for name in world.machine().disk.names("/var/lib/deployer/kept")]


def test_kept_versions_are_in_the_plan_and_keep_us_from_leaving(world: World) -> None:
    before, active = world.etc(), world.systemd.active()
    assert [(world.root / path.lstrip("/")).read_text() for path in kept(world)] == ["precious\n"]

    assert would_lose(uninstall(world.machine(), dry_run=True)) == tuple(kept(world))
    with pytest.raises(KeptFiles) as caught:
        uninstall(world.machine(), dry_run=False)

    assert kept(world)[0] in caught.value.message
    assert f"cat {kept(world)[0]}" in caught.value.remedy
    assert "--discard-kept" in caught.value.remedy
    assert int(caught.value.exit_code) == 2
    assert (world.etc(), world.systemd.active()) == (before, active)
    assert world.machine().journal.read().state == CONFIRMED


def test_with_leave_they_go(world: World) -> None:
    uninstall(world.machine(), dry_run=False, discard_kept=True)

    assert not (world.root / "var/lib/deployer").exists()


def test_a_file_of_ours_that_was_changed_by_hand_and_still_stands_keeps_us_from_leaving_too(tmp_path: Path) -> None:
    world = World(tmp_path / "other")
    assert deploy(world.machine(), first_system(world), "", 1) == CONFIRMED
    (world.root / "etc/deep/er/real").write_text("precious\n")
    (world.root / "etc/motd").unlink()
    (world.root / "etc/motd").symlink_to("/dev/null")  # nothing is lost with a link

    with pytest.raises(KeptFiles) as caught:
        uninstall(world.machine(), dry_run=False)

    assert caught.value.paths == ("/etc/deep/er/real",)
    uninstall(world.machine(), dry_run=False, discard_kept=True)
    assert (world.root / "etc/motd").read_text() == "welcome\n"
    assert not (world.root / "etc/deep").exists()
