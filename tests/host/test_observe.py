"""Drift: what a host shows against what its generation declares."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from deployer.formats.manifest import Manifest, Unit, User
from deployer.host.ledger import Ledger
from deployer.host.machine import UnitStatus
from deployer.host.observe import observe
from deployer.host.standing import read_ledger
from deployer.host.unit_state import UnitState
from deployer.host.verdict import observe_now
from tests.host.test_crashes import deploy, first_system
from tests.host.world import World

TEXT = "[Service]\nExecStart=/bin/web\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "host")
    deploy(world.machine(), first_system(world), "", 1)
    return world


def drift(world: World, *ignore: str) -> list[tuple[str, str, str, str]]:
    return [(item.kind, item.target, item.declared, item.observed) for item in observe_now(world.machine(), ignore)]


def test_a_host_as_declared_shows_no_drift(world: World) -> None:
    assert drift(world) == []


def test_a_host_that_was_never_deployed_to_shows_no_drift(tmp_path: Path) -> None:
    assert drift(World(tmp_path / "other")) == []


def test_all_that_somebody_changed_is_told(world: World) -> None:
    etc = world.root / "etc"
    (etc / "motd").unlink()
    (etc / "motd").write_text("theirs")
    (etc / "web.conf").unlink()
    (etc / "deep/er/real").write_text("by hand")
    os.chmod(etc / "systemd/system", 0o755)
    world.systemd.change("stop", ["web.service"], 1)
    world.system.set_sysctl("net.ipv4.ip_forward", "0")
    (etc / "passwd").write_text((etc / "passwd").read_text().replace("/usr/sbin/nologin", "/bin/sh"))

    found = drift(world)

    assert [(kind, target, observed) for kind, target, _, observed in found] == [
        ("etc", "/etc/deep/er/real", found[0][3]),
        ("etc", "/etc/motd", "a file"),
        ("etc", "/etc/web.conf", "nothing"),
        ("unit", "web.service", "inactive"),
        ("user", "web", "shell /bin/sh"),
        ("sysctl", "net.ipv4.ip_forward", "0"),
    ]
    assert found[0][2].startswith("content ")
    assert found[1][2] == "a link to /var/lib/deployer/profile/current/etc/motd"
    assert drift(world, "/etc/*", "unit:web*", "user:*", "net.*") == []
    assert [item[1] for item in drift(world, "/etc/*", "sysctl:*")] == ["web.service", "web"]


def test_mode_and_kind_of_a_real_file(world: World) -> None:
    real = world.root / "etc/deep/er/real"
    os.chmod(real, 0o644)
    assert drift(world)[0][2:] == ("mode 0600, owner 0:0", "mode 0644, owner 0:0")

    real.unlink()
    real.symlink_to("/dev/null")
    assert drift(world)[0][2:] == ("a file", "a link")


def test_a_link_that_points_elsewhere_and_a_parent_that_became_a_link(world: World) -> None:
    etc = world.root / "etc"
    (etc / "motd").unlink()
    (etc / "motd").symlink_to("/tmp/x")
    assert drift(world)[0][3] == "a link to /tmp/x"

    os.rename(etc / "deep", etc / "elsewhere")
    (etc / "deep").symlink_to("elsewhere")
    assert ("/etc/deep/er/real", "readable") in [item[1:3] for item in drift(world)]


def test_a_profile_that_was_moved_by_hand(world: World) -> None:
    world.machine().profile.switch(0)

    assert drift(world)[0][0] == "generation"


def test_accounts_that_are_gone_or_locked(world: World) -> None:
    etc = world.root / "etc"
    passwd, shadow = (etc / "passwd").read_text(), (etc / "shadow").read_text()
    (etc / "passwd").write_text("".join(line for line in passwd.splitlines(True) if not line.startswith("web:")))
    assert ("user", "web", "there", "nothing") in drift(world)

    (etc / "passwd").write_text(passwd)
    (etc / "shadow").write_text(shadow.replace("web:!::::::", "web:!::::::1"))
    assert drift(world) == [("user", "web", "open", "locked")]


class SeenSystemd:
    """PID 1 with units in states of our choice."""

    def __init__(self, states: Mapping[str, UnitStatus]) -> None:
        self._states = states

    def states(self, names: Collection[str]) -> Mapping[str, UnitStatus]:
        assert not any("@." in name for name in names)
        return {name: self._states[name] for name in names}


def seen(world: World, unit: Unit, **fields: Any) -> list[tuple[str, str]]:
    fields = {"load": "loaded", "active": "active", "sub": "running", **fields}
    machine = world.machine()
    world.systemd = SeenSystemd({unit.name: UnitState(**fields)})  # type: ignore[assignment]
    found = observe(world.machine(), Manifest(units=(unit,)), Ledger(), ())
    assert machine.disk.root == world.root
    return [(item.declared, item.observed) for item in found]


@pytest.mark.parametrize(
    ("unit", "fields", "items"),
    [
        (Unit("a.service", TEXT), {}, []),
        (Unit("a.service", TEXT), {"load": "masked"}, [("not masked", "masked")]),
        (Unit("a.service", masked=True), {"load": "masked", "active": "inactive"}, []),
        (Unit("a.service", masked=True), {"load": "loaded"}, [("masked", "loaded")]),
        (Unit("a.service", TEXT), {"load": "not-found"}, [("loaded", "not-found")]),
        (Unit("a.service", TEXT), {"load": "bad-setting"}, [("loaded", "bad-setting")]),
        (Unit("a.service", TEXT), {"active": "failed", "sub": "failed"}, [("active", "failed (failed)")]),
        (Unit("a.service", TEXT), {"active": "inactive", "sub": "dead"}, [("active", "inactive (dead)")]),
        (Unit("a.service", TEXT, start=False), {"active": "inactive", "sub": "dead"}, []),
        (Unit("a.service", TEXT, start=False), {"active": "failed", "sub": "failed"}, []),
        (Unit("a.service", TEXT), {"active": "inactive", "sub": "dead", "type": "oneshot"}, []),
        (Unit("a.service", TEXT), {"active": "inactive", "sub": "dead", "condition": False}, []),
        (
            Unit("a.service", TEXT),
            {"active": "activating", "sub": "auto-restart", "result": "exit-code", "exit_status": 1},
            [("active", "activating (auto-restart, result exit-code, status 1)")],
        ),
        (Unit("a.service", TEXT), {"active": "activating", "sub": "start"}, []),
        (
            Unit("a.service", TEXT),
            {"needs_reload": True},
            [("loaded as it stands on disk", "changed on disk since it was loaded")],
        ),
        (
            Unit("a.service", TEXT),
            {"fragment": "/run/systemd/system/a.service"},
            [("/etc/systemd/system/a.service", "/run/systemd/system/a.service")],
        ),
        (Unit("a.service", TEXT), {"fragment": "/etc/systemd/system/a.service"}, []),
        (
            Unit("a.service", TEXT, {"ours.conf": TEXT}),
            {
                "drop_ins": (
                    "/etc/systemd/system/a.service.d/ours.conf",
                    "/etc/systemd/system/a.service.d/theirs.conf",
                    "/etc/systemd/system/service.d/all.conf",
                    "/usr/lib/systemd/system/a.service.d/shipped.conf",
                )
            },
            [("no other drop-in", "/etc/systemd/system/a.service.d/theirs.conf")],
        ),
        (Unit("a.service", "", {"ours.conf": TEXT}), {"drop_ins": ("/etc/systemd/system/a.service.d/theirs.conf",)}, []),
        (Unit("a@.service", TEXT), {}, []),
    ],
)
def test_units(tmp_path: Path, unit: Unit, fields: dict[str, Any], items: list[tuple[str, str]]) -> None:
    assert seen(World(tmp_path / "host"), unit, **fields) == items


def test_an_adopted_account_is_not_drift(world: World) -> None:
    manifest = Manifest(users=(User("alice"),))

    assert observe(world.machine(), manifest, read_ledger(world.machine().disk), ("user:web", "sysctl:*")) == ()
