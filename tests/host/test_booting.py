"""What waits for the next boot: a generation that it tries, or the one that it brings back after a test."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from deployer.formats.manifest import Check, Timing
from deployer.formats.messages import CHECKING, CONFIRMED, HEALTHY, RESTARTED, ROLLED_BACK, STAGED, Outcome
from deployer.formats.state import PENDING, SETTLED
from deployer.host.activate import Driver
from deployer.host.booting import push, reboot, stage, unstage
from deployer.host.collecting import generations
from deployer.host.deadman import is_left_over
from deployer.host.facts import host_status
from deployer.host.follow import follow
from deployer.host.lock import locked
from deployer.host.machine import ACTIVATION, Machine
from deployer.host.next_boot import read_next_boot
from deployer.host.prepare import lay_out, prepare
from deployer.host.recovery import recover_from_boot
from deployer.host.refusals import RequestRefused, UnknownTransaction
from deployer.host.standing import read_state
from deployer.host.transaction import Record
from tests.host.test_crashes import KILLED, copy_of, deploy, die_at, first_system, in_child, second_system, state_of
from tests.host.test_recovery import lay_confirmation
from tests.host.world import World, activation

BRIEF = Timing(check_deadline=0.0, confirm_timeout=5.0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "host")


def judged(world: World, *, good: bool) -> str:
    """The second system, with a check on it."""
    manifest = world.store.manifest(second_system(world))
    check = Check("judge", "command", command=("/bin/true" if good else "/bin/false",))
    changed = dataclasses.replace(manifest, checks=(check,), timing=BRIEF)
    files = {entry.path: (world.root / second_system(world)[1:] / "etc" / entry.path) for entry in manifest.etc}
    return world.add_system(
        f"judged-{good}", changed, {path: place.read_text() for path, place in files.items() if place.is_file()}
    )


def stage_it(world: World, system: str, previous: str, number: int, *, reboots: bool = False) -> Outcome:
    machine = world.machine()
    lay_out(machine.disk)
    request = activation(system, previous, number, goal="boot", reboot=reboots)
    with locked(machine.disk):
        record, plan = prepare(machine, request)
        assert record is None
        return stage(machine, request, plan)


def boot(world: World, machine: Machine | None = None) -> None:
    """Up to the login prompt: the boot unit, then all units."""
    world.systemd.reboot()
    if is_left_over(world.machine()):
        recover_from_boot(machine or world.machine())
    world.systemd.queue("start", ["default.target"])


def judge(world: World) -> Record:
    """What the service does that the boot unit left behind."""
    machine = world.machine()
    command = world.systemd.waiting(ACTIVATION)
    with locked(machine.disk):
        return Driver(machine).run(command[-1])


def whole(world: World) -> dict[str, object]:
    """All of it, but for numbers that count on, and the service that has judged."""
    return {key: value for key, value in state_of(world).items() if key not in ("generations", "current", "state", "timers")}


def test_a_staged_generation_changes_nothing_before_the_boot_that_tries_it(world: World) -> None:
    one = first_system(world)
    deploy(world.machine(), one, "", 1)
    before, etc = world.systemd.active(), world.etc()

    outcome = stage_it(world, judged(world, good=True), one, 2)

    machine = world.machine()
    assert (outcome.state, outcome.generation) == (STAGED, 2)
    assert world.systemd.active() == before
    assert {name for name in world.etc() if name not in etc} == {
        "systemd/system/deployer-recover.service",
        "systemd/system/sysinit.target.wants",
        "systemd/system/sysinit.target.wants/deployer-recover.service",
    }
    assert read_state(machine.disk).phase == PENDING
    status = host_status(machine)
    assert (status.generation, status.next_boot, status.staged) == (1, 2, True)
    assert ["next boot" in one.kept for one in generations(machine)] == [False, True]
    assert follow(machine, outcome.transaction, lambda event: None).state == STAGED


def test_it_is_tried_at_the_boot_and_judged_by_its_own_checks_where_nobody_waits_to_confirm_it(world: World) -> None:
    one = first_system(world)
    deploy(world.machine(), one, "", 1)
    stage_it(world, judged(world, good=True), one, 2)

    boot(world)
    assert world.machine().journal.read().state == RESTARTED
    assert world.systemd.active()["web.service"].endswith("--two\n")
    assert judge(world).state == CONFIRMED

    machine = world.machine()
    assert machine.profile.current().number == 2
    assert read_state(machine.disk).phase == SETTLED
    assert read_next_boot(machine.disk) is None
    assert not is_left_over(machine)
    assert world.systemd.timers() == [ACTIVATION]
    boot(world)
    assert machine.profile.current().number == 2


@pytest.mark.parametrize("reboots", [True, False])
def test_one_that_is_not_good_goes_back_once_and_reboots_only_where_so_asked(world: World, reboots: bool) -> None:
    one = first_system(world)
    deploy(world.machine(), one, "", 1)
    before = whole(world)
    stage_it(world, judged(world, good=False), one, 2, reboots=reboots)

    boot(world)
    ended = judge(world)

    assert (ended.state, "judge" in ended.reason) == (ROLLED_BACK, True)
    assert world.systemd.requested_reboots() == int(reboots)
    if reboots:
        boot(world)
    assert world.machine().profile.generations() == {1: one}
    assert whole(world) == before
    assert world.systemd.active()["web.service"].endswith("--one\n")
    assert world.machine().journal.read().reason == ended.reason
    boot(world)
    assert world.machine().profile.current().number == 1
    assert world.systemd.requested_reboots() == int(reboots)


def test_a_controller_that_had_it_rebooted_must_confirm_it(world: World) -> None:
    one, two = first_system(world), judged(world, good=True)
    deploy(world.machine(), one, "", 1)
    transaction = stage_it(world, two, one, 2, reboots=True).transaction
    reboot(world.machine(), transaction)
    assert world.systemd.requested_reboots() == 1

    boot(world)
    world.machine()
    ended = judge(world)
    assert (ended.state, ended.reason) == (ROLLED_BACK, "no confirmation came over a fresh connection in time")
    assert world.systemd.requested_reboots() == 2
    boot(world)

    transaction = stage_it(world, two, one, 3, reboots=True).transaction
    boot(world)
    lay_confirmation(world.machine(), transaction)
    assert judge(world).state == CONFIRMED
    assert world.systemd.requested_reboots() == 2


def test_only_what_is_staged_can_be_rebooted_into(world: World) -> None:
    deploy(world.machine(), first_system(world), "", 1)

    with pytest.raises(UnknownTransaction):
        reboot(world.machine(), "f" * 32)
    with pytest.raises(RequestRefused):
        prepare(world.machine(), activation(first_system(world), first_system(world), 2, goal="test", reboot=True))
    assert world.systemd.requested_reboots() == 0


def test_what_was_staged_can_be_taken_back_and_leaves_nothing(world: World) -> None:
    one = first_system(world)
    deploy(world.machine(), one, "", 1)
    before = state_of(world)
    stage_it(world, judged(world, good=True), one, 2)

    with locked(world.machine().disk):
        assert unstage(world.machine())
        assert not unstage(world.machine())

    assert state_of(world) == before
    assert not is_left_over(world.machine())


def test_a_deployment_in_between_is_the_next_boots_too(world: World) -> None:
    one, two = first_system(world), second_system(world)
    deploy(world.machine(), one, "", 1)
    stage_it(world, judged(world, good=True), one, 2)

    assert deploy(world.machine(), two, one, 3) == CONFIRMED

    assert read_next_boot(world.machine().disk) is None
    assert not is_left_over(world.machine())


def test_a_test_is_gone_with_the_next_boot_and_the_default_is_as_it_was(world: World) -> None:
    one, two = first_system(world), judged(world, good=True)
    deploy(world.machine(), one, "", 1)
    before = whole(world)

    assert deploy(world.machine(), two, one, 2, goal="test") == CONFIRMED

    machine = world.machine()
    assert machine.profile.current().number == 2
    assert world.systemd.active()["web.service"].endswith("--two\n")
    assert read_state(machine.disk).phase == PENDING
    assert (host_status(machine).next_boot, host_status(machine).staged) == (1, False)
    assert machine.disk.entry("/var/lib/deployer/good").target == one  # type: ignore[union-attr]

    boot(world)

    machine = world.machine()
    assert machine.profile.current().number == 1
    assert machine.journal.read().state == CONFIRMED
    assert read_state(machine.disk).phase == SETTLED
    assert world.systemd.active()["web.service"].endswith("--one\n")
    left = whole(world)
    # Accounts that a generation made are locked, not removed, when another no longer declares them.
    assert {key for key in left if left[key] != before[key]} <= {"etc", "contents", "ledger"}
    assert not is_left_over(machine)


def test_a_host_without_generations_has_none_again_after_a_test(world: World) -> None:
    etc = world.etc()

    assert deploy(world.machine(), first_system(world), "", 1, goal="test") == CONFIRMED
    assert host_status(world.machine()).next_boot == 0
    boot(world)

    after = world.etc()
    after.pop(".pwd.lock", None)
    assert after == etc
    assert world.machine().profile.current().number == 0
    assert str(read_state(world.machine().disk)).startswith("deployer-state 1 settled 0 - ")


def test_a_test_that_is_kept_is_the_default(world: World) -> None:
    one, two = first_system(world), second_system(world)
    deploy(world.machine(), one, "", 1)
    deploy(world.machine(), two, one, 2, goal="test")

    assert deploy(world.machine(), two, two, 3) == CONFIRMED

    assert read_next_boot(world.machine().disk) is None
    boot(world)
    assert world.machine().profile.current().number == 2


def test_a_repair_during_a_test_does_not_make_it_the_default(world: World) -> None:
    one, two = first_system(world), second_system(world)
    deploy(world.machine(), one, "", 1)
    deploy(world.machine(), two, one, 2, goal="test")
    (world.root / "etc/deep/er/real").write_text("drifted")

    assert deploy(world.machine(), two, two, 3, repair=True) == CONFIRMED

    assert host_status(world.machine()).next_boot == 1
    boot(world)
    assert world.machine().profile.current().number == 1


def test_tests_of_tests_go_back_to_the_first_default_and_a_test_of_the_default_ends_them(world: World) -> None:
    one, two = first_system(world), second_system(world)
    deploy(world.machine(), one, "", 1)
    deploy(world.machine(), two, one, 2, goal="test")
    deploy(world.machine(), judged(world, good=True), two, 3, goal="test")
    assert host_status(world.machine()).next_boot == 1

    deploy(world.machine(), one, judged(world, good=True), 4, goal="test", generation=1)

    assert read_next_boot(world.machine().disk) is None
    assert world.machine().profile.current().number == 1


@pytest.mark.parametrize("staged_first", [True, False])
@pytest.mark.parametrize("good", [True, False])
def test_a_boot_that_tries_something_during_a_test_brings_the_default_back_first(
    world: World, staged_first: bool, good: bool
) -> None:
    one, two = first_system(world), second_system(world)
    deploy(world.machine(), one, "", 1)
    if staged_first:
        stage_it(world, judged(world, good=good), one, 2)
        deploy(world.machine(), two, one, 3, goal="test")
    else:
        deploy(world.machine(), two, one, 3, goal="test")
        stage_it(world, judged(world, good=good), two, 2)

    boot(world)
    ended = judge(world)

    assert (ended.state, ended.previous) == (CONFIRMED if good else ROLLED_BACK, one)
    assert world.machine().profile.current().system == (judged(world, good=True) if good else one)
    assert read_next_boot(world.machine().disk) is None
    assert not is_left_over(world.machine())


def test_taking_back_what_was_staged_during_a_test_leaves_the_way_back_from_the_test(world: World) -> None:
    one, two = first_system(world), second_system(world)
    deploy(world.machine(), one, "", 1)
    deploy(world.machine(), two, one, 2, goal="test")
    stage_it(world, judged(world, good=True), two, 3)

    with locked(world.machine().disk):
        assert unstage(world.machine())

    assert (host_status(world.machine()).next_boot, host_status(world.machine()).staged) == (1, False)
    boot(world)
    assert world.machine().profile.current().number == 1


def test_a_test_that_is_not_good_is_rolled_back_and_the_next_boot_has_nothing_to_do(world: World) -> None:
    one = first_system(world)
    deploy(world.machine(), one, "", 1)

    assert deploy(world.machine(), judged(world, good=False), one, 2, goal="test") == ROLLED_BACK

    assert read_next_boot(world.machine().disk) is None
    assert not is_left_over(world.machine())


def test_what_was_pushed_is_kept_until_something_else_is_or_it_is_a_generation(world: World) -> None:
    one, two = first_system(world), second_system(world)
    deploy(world.machine(), one, "", 1)
    machine = world.machine()

    assert [push(machine, two), push(machine, two), push(machine, one)] == [True, False, False]

    assert '"pushed": "' + two in (world.root / "nix/roots.json").read_text()
    deploy(world.machine(), two, one, 2)
    assert "pushed" not in (world.root / "nix/roots.json").read_text()


def world_with_a_stage(world: World) -> tuple[dict[str, object], dict[str, object]]:
    """How the host is before the boot that tries the second system, and how it is when that was good."""
    one = first_system(world)
    deploy(world.machine(), one, "", 1)
    before = whole(world)
    stage_it(world, judged(world, good=True), one, 2, reboots=False)
    good = copy_of(world, world.root.parent.with_name("good"))
    boot(good)
    assert judge(good).state == CONFIRMED
    return before, whole(good)


def world_in_trial(world: World) -> tuple[dict[str, object], dict[str, object]]:
    """The same for a test: how it is while it lasts, and after the boot that ends it."""
    one = first_system(world)
    deploy(world.machine(), one, "", 1)
    deploy(world.machine(), second_system(world), one, 2, goal="test")
    before = whole(world)
    good = copy_of(world, world.root.parent.with_name("good"))
    boot(good)
    return before, whole(good)


@pytest.mark.parametrize("begin", [world_with_a_stage, world_in_trial])
def test_a_boot_that_is_cut_off_anywhere_ends_in_the_one_generation_or_the_other_at_the_next(
    world: World, begin: Callable[[World], tuple[dict[str, object], dict[str, object]]]
) -> None:
    old, new = begin(world)
    tried = 0
    for count in itertools.count(0, 3):
        host = copy_of(world, world.root.parent.with_name("cut"))
        host.systemd.reboot()
        killed = in_child(partial(recover_from_boot, host.machine(die_at(count)))) == KILLED
        boot(host)
        if host.machine().journal.read().state in (RESTARTED, CHECKING, HEALTHY):
            judge(host)
        ends = whole(host)
        sides = [new] if begin is world_in_trial else [old, new]
        assert any(ends["etc"] == side["etc"] and ends["contents"] == side["contents"] for side in sides), count
        assert host.machine().journal.read().is_terminal
        assert read_next_boot(host.machine().disk) is None, count
        assert not is_left_over(host.machine())
        assert host.machine().disk.entry("/var/lib/deployer/reserve") is None
        if not killed:
            break
        tried += 1
    print(f"{tried} points of {begin.__name__}")  # noqa: T201
    assert tried > 30
