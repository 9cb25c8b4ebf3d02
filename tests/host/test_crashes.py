"""Killed at every effect on the disk: the host ends in the old generation or the new one, whole.

A child process drives the transaction and dies, without any clean-up, at the N-th effect; then somebody recovers: the next
request, the timer, or the boot unit. N goes from the first effect to the last.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from deployer.formats.manifest import EtcEntry, Group, Manifest, Unit, User
from deployer.formats.messages import CONFIRMED, PREPARED, ROLLED_BACK
from deployer.formats.state import ABSENT, SETTLED
from deployer.host.activate import Driver
from deployer.host.deadman import WANTS
from deployer.host.follow import confirm
from deployer.host.lock import locked
from deployer.host.machine import RECOVER, Machine
from deployer.host.prepare import lay_out, prepare, ready
from deployer.host.recovery import recover_from_boot, recover_from_timer
from deployer.host.standing import read_state
from deployer.host.uninstall import uninstall
from tests.host.world import TOKEN, World, activation, digest, link, real_file

KILLED = 99
WEB_1 = "[Service]\nExecStart=/bin/web --one\n"
WEB_2 = "[Service]\nExecStart=/bin/web --two\n"
EXTRA = "[Service]\nExecStart=/bin/extra\n"
BROKEN_UNIT = "[Service]\nExecStart=/bin/fails\n"


def first_system(world: World) -> str:
    """Takes the motd over, adds a unit, a real file in a directory of its own, a sysctl and a user."""
    files = {"web.conf": "one\n", "motd": "ours\n", "deep/er/real": "real one\n", "systemd/system/web.service": WEB_1}
    manifest = Manifest(
        etc=(
            link("web.conf", "one\n"),
            link("motd", "ours\n", replace=True),
            real_file("deep/er/real", "real one\n", mode="0600"),
            link("systemd/system/web.service", WEB_1),
        ),
        units=(Unit("web.service", WEB_1),),
        users=(User("web", uid=990, group="web"),),
        groups=(Group("web", gid=990),),
        sysctl={"net.ipv4.ip_forward": "1"},
        runtime="/nix/store/runtime",
    )
    return world.add_system("first", manifest, files)


def second_system(world: World, *, broken: bool = False) -> str:
    """Drops the motd and the sysctl, changes the unit, the real file and its mode, and adds a unit, a link and a directory."""
    extra = BROKEN_UNIT if broken else EXTRA
    files = {
        "web.conf": "two\n",
        "deep/er/real": "real two\n",
        "systemd/system/web.service": WEB_2,
        "systemd/system/web-extra.service": extra,
    }
    manifest = Manifest(
        etc=(
            link("web.conf", "two\n"),
            real_file("deep/er/real", "real two\n", mode="0640"),
            EtcEntry("new/link", "symlink", target="/dev/null"),
            EtcEntry("new/directory", "directory", mode="0750"),
            link("systemd/system/web.service", WEB_2),
            link("systemd/system/web-extra.service", extra),
        ),
        units=(Unit("web.service", WEB_2), Unit("web-extra.service", extra)),
        users=(User("web", uid=990, group="web"), User("worker", uid=991, group="web")),
        groups=(Group("web", gid=990),),
        runtime="/nix/store/runtime",
    )
    return world.add_system("second" + ("-broken" if broken else ""), manifest, files)


def deploy(machine: Machine, system: str, previous: str, number: int, **more: Any) -> str:
    """The whole way through, with a controller that confirms at once; how it ended."""
    lay_out(machine.disk)
    with locked(machine.disk) as ours:
        assert ours
        record, _ = prepare(machine, activation(system, previous, number, **more))
        assert record is not None
        (machine.disk.root / "var/lib/deployer/transaction/confirmation").write_text(
            f'{{"transaction": "{record.transaction}", "token": "{TOKEN}"}}'
        )
        return Driver(machine).run(record.transaction).state


def die_at(count: int) -> Callable[[str, str], None]:
    """A door to the disk that ends the process at the N-th effect, before it happens."""
    left = [count]

    def door(operation: str, path: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            os._exit(KILLED)

    return door


def in_child(work: Callable[[], Any]) -> int:
    """Run `work` in a process of its own; its exit status."""
    child = os.fork()
    if child == 0:
        _run_and_exit(work)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run_and_exit(work: Callable[[], Any]) -> NoReturn:
    try:
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


def copy_of(world: World, place: Path) -> World:
    """The same host once more."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(world.root.parent, place, symlinks=True)
    return World(place)


def state_of(world: World) -> dict[str, Any]:
    """All of a host that a user could tell."""
    machine = world.machine()
    etc = world.etc()
    return {
        "etc": etc,
        "contents": {name: (world.root / "etc" / name).read_bytes() for name in etc if (world.root / "etc" / name).is_file()},
        "current": machine.profile.current(),
        "generations": machine.profile.generations(),
        "active": world.systemd.active(),
        "timers": world.systemd.timers(),
        "sysctl": world.system.sysctl("net.ipv4.ip_forward"),
    }


def left_over(world: World) -> list[Path]:
    """What interrupted writes left half written."""
    return list(world.root.rglob(".deployer-*"))


def recover_by_request(world: World) -> None:
    machine = world.machine()
    if (world.root / "var/lib/deployer").is_dir():
        with locked(machine.disk) as ours:
            assert ours
            ready(machine)


def recover_by_timer(world: World) -> None:
    assert recover_from_timer(world.machine()) == 0


def recover_by_timer_alone(world: World) -> None:
    """As systemd does: only where it stands."""
    if "deployer-deadman.timer" in world.systemd.timers():
        assert recover_from_timer(world.machine(), f"{2:032x}") == 0


def recover_by_boot_alone(world: World) -> None:
    world.systemd.reboot()
    if (world.root / "etc/systemd/system/sysinit.target.wants/deployer-recover.service").is_symlink():
        assert recover_from_boot(world.machine()) == 0
    world.systemd.queue("start", ["default.target"])


def recover_by_boot(world: World) -> None:
    world.systemd.reboot()
    if (world.root / "etc/systemd/system/sysinit.target.wants/deployer-recover.service").is_symlink():
        assert recover_from_boot(world.machine()) == 0
    world.systemd.daemon_reload()
    world.systemd.queue("start", ["default.target"])
    recover_by_request(world)


RECOVERIES = [recover_by_request, recover_by_timer, recover_by_boot]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "host")


@pytest.mark.parametrize("recover", RECOVERIES)
@pytest.mark.parametrize("first", [True, False], ids=["first-deploy", "second-deploy"])
def test_killed_at_any_effect_the_host_is_old_or_new_and_whole(world: World, tmp_path: Path, first: bool, recover: Any) -> None:
    one, two = first_system(world), second_system(world)
    previous = ""
    if not first:
        assert deploy(world.machine(), one, "", 1) == CONFIRMED
        previous = one
    system = one if first else two
    old = state_of(world)
    finished = copy_of(world, tmp_path / "finished")
    assert deploy(finished.machine(), system, previous, 2) == CONFIRMED
    new = state_of(finished)

    count, seen = 0, set()
    while True:
        trial = copy_of(world, tmp_path / "trial")
        status = in_child(partial(deploy, trial.machine(die_at(count)), system, previous, 2))
        assert status in (0, KILLED)
        recover(trial)

        found = state_of(trial)
        sysctl_at_boot = recover is recover_by_boot and found["sysctl"] != old["sysctl"]
        assert found in (old, new) or sysctl_at_boot, f"killed at effect {count}"
        recover_by_request(trial)
        assert left_over(trial) == [], f"killed at effect {count}"
        seen.add(found == new)
        if (trial.root / "var/lib/deployer/journal").exists():
            assert read_state(trial.machine().disk).phase == SETTLED or found == old
        if status == 0:
            break
        count += 1
    assert seen == {True, False}
    assert count > 40


def prepare_only(machine: Machine, system: str, previous: str) -> None:
    lay_out(machine.disk)
    with locked(machine.disk):
        prepare(machine, activation(system, previous, 2))


@pytest.mark.parametrize("recover", [recover_by_timer_alone, recover_by_boot_alone])
@pytest.mark.parametrize("first", [True, False], ids=["first-deploy", "second-deploy"])
def test_a_request_that_is_killed_anywhere_leaves_nothing_that_waits_for_the_next_one(
    world: World, tmp_path: Path, first: bool, recover: Any
) -> None:
    one, two = first_system(world), second_system(world)
    if not first:
        assert deploy(world.machine(), one, "", 1) == CONFIRMED
    old, system, previous = state_of(world), one if first else two, "" if first else one
    count, busy = 0, 0
    while True:
        trial = copy_of(world, tmp_path / "trial")
        status = in_child(partial(prepare_only, trial.machine(die_at(count)), system, previous))
        assert status in (0, KILLED)
        busy += trial.machine().journal.read().state == PREPARED
        recover(trial)

        machine = trial.machine()
        assert machine.journal.read().is_terminal, f"killed at effect {count}"
        assert read_state(machine.disk).phase in (SETTLED, ABSENT), f"killed at effect {count}"
        if recover is recover_by_boot_alone and not (trial.root / WANTS.lstrip("/") / RECOVER).is_symlink():
            recover_by_request(trial)  # a part of the boot unit that nothing starts, of a transaction that never was
        assert state_of(trial) == old, f"killed at effect {count}"
        if status == 0:
            break
        count += 1
    assert busy > 1


@pytest.mark.parametrize("recover", RECOVERIES)
def test_killed_at_any_effect_of_a_rollback_the_host_is_as_before(world: World, tmp_path: Path, recover: Any) -> None:
    one, broken = first_system(world), second_system(world, broken=True)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    old = state_of(world)
    times = world.times()
    count = 0
    while True:
        trial = copy_of(world, tmp_path / "trial")
        status = in_child(partial(deploy, trial.machine(die_at(count)), broken, one, 2))
        assert status in (0, KILLED)
        recover(trial)

        assert state_of(trial) == old, f"killed at effect {count}"
        assert left_over(trial) == [], f"killed at effect {count}"
        assert trial.times() == times
        if status == 0:
            break
        count += 1


@pytest.mark.parametrize("error", [28, 5], ids=["no-space", "input-output-error"])
def test_an_error_at_any_effect_leaves_the_host_as_before_or_new(world: World, tmp_path: Path, error: int) -> None:
    one, two = first_system(world), second_system(world)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    old = state_of(world)
    finished = copy_of(world, tmp_path / "finished")
    assert deploy(finished.machine(), two, one, 2) == CONFIRMED
    new = state_of(finished)
    count = 0
    while True:
        trial = copy_of(world, tmp_path / "trial")
        left = [count]

        def door(operation: str, path: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise OSError(error, os.strerror(error), path)

        try:
            deploy(trial.machine(door), two, one, 2)
        except OSError:
            pass
        recover_by_request(trial)

        assert state_of(trial) in (old, new), f"failed at effect {count}"
        if left[0] >= 0:
            break
        count += 1


def test_a_failed_first_deploy_leaves_etc_as_it_was_to_the_nanosecond(world: World) -> None:
    broken = second_system(world, broken=True)
    etc, times = world.etc(), world.times()

    assert deploy(world.machine(), broken, "", 1) == ROLLED_BACK

    assert world.etc() == etc
    assert world.times() == times
    assert read_state(world.machine().disk).system == ""


def test_an_uninstallation_that_is_killed_anywhere_is_finished_by_the_next(world: World, tmp_path: Path) -> None:
    etc, times = world.etc(), world.times()
    one, two = first_system(world), second_system(world)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    assert deploy(world.machine(), two, one, 2) == CONFIRMED
    count = 0
    while True:
        trial = copy_of(world, tmp_path / "trial")
        status = in_child(partial(uninstall, trial.machine(die_at(count)), dry_run=False))
        assert status in (0, KILLED)
        uninstall(trial.machine(), dry_run=False)

        found = trial.etc()
        assert found == etc, f"killed at effect {count}"
        assert trial.times()["motd"] == times["motd"]
        assert trial.systemd.active() == {}
        assert not (trial.root / "var/lib/deployer").exists()
        if status == 0:
            break
        count += 1


def test_a_confirmation_reaches_a_healthy_transaction_whose_driver_was_killed(world: World) -> None:
    one = first_system(world)
    machine = world.machine()
    lay_out(machine.disk)
    with locked(machine.disk):
        record, _ = prepare(machine, activation(one))
        assert record is not None
        driver = Driver(machine)
        while record.state != "healthy":
            record = driver.step(record)

    assert confirm(world.machine(), record.transaction, TOKEN).state == CONFIRMED
    assert digest("ours\n") == digest((world.root / one.lstrip("/") / "etc/motd").read_text())
