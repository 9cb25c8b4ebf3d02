"""Definitions that are read before the stop: which services can have them, and what is left of them whatever happens."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deployer.formats.manifest import Group, Manifest, Unit, User
from deployer.formats.messages import CONFIRMED, ROLLED_BACK
from deployer.host.machine import Machine
from deployer.host.preloading import PLACE, preload_of, preloads
from deployer.host.standing import read_request
from deployer.host.unit_changes import UnitChanges
from tests.host.test_crashes import (
    KILLED,
    copy_of,
    deploy,
    die_at,
    in_child,
    left_over,
    recover_by_boot,
    recover_by_request,
    recover_by_timer,
    state_of,
)
from tests.host.world import World, link, real_file

OLD = '[Unit]\nDescription=old\n[Service]\nExecStart=/bin/a 1\nExecStop=/bin/s 1\nEnvironment=A=1 "B=x y"\n'
NEW = "[Unit]\nDescription=new\n[Service]\nExecStart=/bin/a 2\nExecStop=/bin/s 2\nEnvironment=A=2\n"


def unit(text: str, name: str = "web.service", **more: Any) -> Unit:
    return Unit(name, text, **more)


def test_the_old_programs_stop_a_service_with_the_old_variables() -> None:
    preload = preload_of(unit(OLD), unit(NEW))

    assert preload is not None
    assert preload.text == (
        NEW + f"\n\n[Service]\nExecStop=\nExecStop=/bin/s 1\nExecStopPost=\nEnvironmentFile=-{PLACE}/web.service.environment\n"
    )
    assert preload.environment == "A='1'\nB='x y'\n"


def test_variables_that_are_the_same_need_no_file() -> None:
    preload = preload_of(unit("[Service]\nEnvironment=A=%H\nExecStop=/bin/s\n"), unit("[Service]\nEnvironment=A=%H\nExecStop=\n"))

    assert preload is not None
    assert preload.text.endswith("[Service]\nExecStop=\nExecStop=/bin/s\nExecStopPost=\n")
    assert preload.environment == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(OLD, NEW + "User=web\n", id="programs run as another user"),
        pytest.param(OLD, NEW + "KillMode=process\n", id="it is killed otherwise"),
        pytest.param(OLD, NEW + "Environment=C=3\n", id="there is a new variable"),
        pytest.param(OLD, NEW.replace("A=2", "A=%i"), id="a variable depends"),
        pytest.param(OLD, NEW.replace("A=2", "'A=2' 'B"), id="an open quote"),
        pytest.param(OLD, NEW.replace("A=2", "A"), id="no assignment"),
        pytest.param(OLD + "EnvironmentFile=/e\n", NEW + "EnvironmentFile=/e\n", id="a file has variables"),
        pytest.param(OLD, NEW + "[Unit]\nRequires=db.service\n", id="it hangs on another"),
        pytest.param(OLD, NEW + "[Unit]\nRefuseManualStop=yes\n", id="it refuses to be stopped"),
        pytest.param(OLD, NEW + "[Slice]\nCPUWeight=3\n", id="another section"),
        pytest.param("", NEW, id="only extended before"),
    ],
)
def test_a_service_that_its_old_definition_would_stop_otherwise_is_not_preloaded(old: str, new: str) -> None:
    assert preload_of(unit(old), unit(new)) is None


@pytest.mark.parametrize("more", [{"drop_ins": {"a.conf": "[Service]\nNice=1\n"}}, {"masked": True}, {"name": "web@1.service"}])
def test_drop_ins_masks_and_instances_are_not_preloaded(more: dict[str, Any]) -> None:
    assert preload_of(unit(OLD, **more), unit(NEW, **more)) is None


@pytest.mark.parametrize(
    ("changes", "others", "found"),
    [
        pytest.param(UnitChanges(stop=("web.service",), start=("web.service",)), "", True, id="alone"),
        pytest.param(UnitChanges(stop=("web.service",)), "", False, id="it goes"),
        pytest.param(UnitChanges(), "", False, id="nothing stops"),
        pytest.param(UnitChanges(stop=("web.service",), start=("web.service", "db.service")), "", True, id="another starts"),
        pytest.param(
            UnitChanges(stop=("web.service",), start=("web.service", "db.service")),
            "Wants=db.service",
            False,
            id="it wants another",
        ),
        pytest.param(
            UnitChanges(stop=("web.service",), start=("web.service",), restart=("db.service",)),
            "PartOf=db.service",
            False,
            id="another takes it along",
        ),
        pytest.param(
            UnitChanges(stop=("web.service", "s.socket"), start=("web.service", "s.socket")), "", False, id="a socket stops too"
        ),
    ],
)
def test_all_that_stops_is_preloaded_or_nothing(changes: UnitChanges, others: str, found: bool) -> None:
    more = f"[Unit]\n{others}\n"

    assert bool(preloads([unit(OLD + more)], [unit(NEW + more)], changes)) is found


# -- on a host ---------------------------------------------------------------------------------------------------------------


def system(world: World, name: str, text: str, *more: Unit, user: User | None = None) -> str:
    """A service that a program stops, and files that change with it."""
    units = (Unit("web.service", text), *more)
    files = {"web.conf": f"{name}\n", "real": f"{name}\n", **{f"systemd/system/{one.name}": one.text for one in units}}
    etc = [link(path, content) for path, content in files.items() if path != "real"]
    manifest = Manifest(etc=(*etc, real_file("real", files["real"])), units=units, runtime="/nix/store/runtime")
    if user is not None:
        manifest = dataclasses.replace(manifest, users=(user,), groups=(Group(user.name, gid=user.uid),))
    return world.add_system(name, manifest, files)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "host")


def recorded(world: World, told: list[tuple[str, str, bool]]) -> Machine:
    """What is asked of PID 1, and whether the new files were there then."""
    machine = world.machine()
    change, reload = world.systemd.change, world.systemd.daemon_reload

    def note(verb: str, name: str) -> None:
        told.append((verb, name, (world.root / "etc/real").read_text() == "two\n"))

    def changing(verb: str, names: Any, timeout: float) -> Any:
        note(verb, " ".join(names))
        return change(verb, names, timeout)

    def reloading(*, patient: bool = False) -> None:
        note("reload", "")
        reload(patient=patient)

    world.systemd.change, world.systemd.daemon_reload = changing, reloading  # type: ignore[method-assign]
    return machine


def test_nothing_is_read_between_the_stop_and_the_start(world: World) -> None:
    one, two = system(world, "one", OLD), system(world, "two", NEW)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    told: list[tuple[str, str, bool]] = []

    assert deploy(recorded(world, told), two, one, 2) == CONFIRMED

    begins = told.index(("stop", "web.service", False))
    assert told[begins - 1 : begins + 3] == [
        ("reload", "", False),
        ("stop", "web.service", False),
        ("start", "web.service", True),
        ("reload", "", True),
    ]
    assert world.systemd.active() == {"web.service": NEW}
    assert not (world.root / PLACE[1:]).exists()


def test_what_an_administrator_has_put_before_ours_is_left_to_rule(world: World) -> None:
    one, two = system(world, "one", OLD), system(world, "two", NEW)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    told: list[tuple[str, str, bool]] = []
    machine = recorded(world, told)
    states = world.systemd.states
    world.systemd.states = lambda names: {  # type: ignore[method-assign]
        name: type(status)(status.load, status.active, fragment="/etc/systemd/system.control/web.service")
        for name, status in states(names).items()
    }

    assert deploy(machine, two, one, 2) == CONFIRMED

    verbs = [verb for verb, _, _ in told]
    assert verbs[verbs.index("stop") - 2 : verbs.index("stop") + 3] == ["reload", "reload", "stop", "reload", "start"]
    assert world.systemd.active() == {"web.service": NEW}
    assert not (world.root / PLACE[1:]).exists()


def test_what_is_done_is_what_the_plan_says_in_that_order(world: World) -> None:
    """New accounts come before the stop, and what was stopped starts before others restart."""
    other = "[Service]\nExecStart=/bin/other 1\n"
    one = system(world, "one", OLD, Unit("another.service", other))
    two = system(world, "two", NEW, Unit("another.service", other.replace("1", "2")), user=User("web", uid=990, group="web"))
    assert deploy(world.machine(), one, "", 1) == CONFIRMED

    assert deploy(world.machine(), two, one, 2) == CONFIRMED

    planned = read_request(world.machine().disk)[1].actions
    assert world.machine().events.summary()[0] == planned
    assert [f"{action.kind} {action.operation}" for action in planned if action.kind in ("unit", "user")] == [
        "user add",
        "unit stop",
        "unit start",
        "unit restart",
    ]


@pytest.mark.parametrize(
    ("recover", "fails"),
    [
        pytest.param(recover_by_timer, False, id="timer"),
        pytest.param(recover_by_boot, False, id="boot"),
        pytest.param(recover_by_request, True, id="request, and it fails"),
    ],
)
def test_killed_at_any_effect_nothing_of_it_is_left(world: World, tmp_path: Path, recover: Any, fails: bool) -> None:
    more = (Unit("web-extra.service", "[Service]\nExecStart=/bin/fails\n"),) if fails else ()
    one, two = system(world, "one", OLD), system(world, "two", NEW, *more)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    (world.root / PLACE[1:]).mkdir()  # somebody else's
    old = state_of(world)
    finished = copy_of(world, tmp_path / "finished")
    state = ROLLED_BACK if fails else CONFIRMED
    assert deploy(finished.machine(), two, one, 2) == state
    new = state_of(finished)
    met: list[str] = []
    assert deploy(copy_of(world, tmp_path / "met").machine(lambda operation, path: met.append(path)), two, one, 2) == state
    places = [at for at, path in enumerate(met) if path.startswith(PLACE)]
    for at in range(places[0] - 1, places[-1] + 2):
        trial = copy_of(world, tmp_path / "trial")
        assert in_child(partial(deploy, trial.machine(die_at(at)), two, one, 2)) == KILLED
        recover(trial)

        assert state_of(trial) in (old, new), f"killed at effect {at}"
        recover_by_request(trial)
        assert left_over(trial) == [], f"killed at effect {at}"
        assert not list((trial.root / PLACE[1:]).glob("*")), f"killed at effect {at}"
    assert len(places) >= 10
    if fails:
        assert new == old
