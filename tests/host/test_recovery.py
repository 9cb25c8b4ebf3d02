"""What the dead-man's switch does when it goes off: to whom, and to whom not."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from deployer.formats.manifest import CONFIRM_AGAIN, Manifest, Timing, Unit
from deployer.formats.messages import CONFIRMED, HEALTHY, RESTARTED, ROLLED_BACK
from deployer.formats.state import SETTLED
from deployer.host import sentinel
from deployer.host.activate import Driver
from deployer.host.follow import confirm
from deployer.host.journal import SLOT_SIZE
from deployer.host.lock import holder, locked
from deployer.host.machine import Machine
from deployer.host.paths import CANCELLATION, CONFIRMATION, GOOD, JOURNAL, REQUEST
from deployer.host.prepare import lay_out, prepare, ready
from deployer.host.recovery import recover_from_boot, recover_from_timer
from deployer.host.refusals import ConfirmRefused, HostBusy
from deployer.host.standing import PRIVATE, read_state
from deployer.host.transaction import Record
from deployer.process import run
from tests.host.test_crashes import deploy, first_system, second_system, state_of
from tests.host.world import TOKEN, World, activation, link


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "host")


def to_healthy(machine: Machine, system: str, previous: str = "", number: int = 1) -> Record:
    """A transaction whose driver has brought it so far, and is gone."""
    lay_out(machine.disk)
    with locked(machine.disk):
        record, _ = prepare(machine, activation(system, previous, number))
        assert record is not None
        driver = Driver(machine)
        while record.state != HEALTHY:
            record = driver.step(record)
    return record


def freeze_with_lock(machine: Machine) -> int:
    """A process that holds the lock and does nothing any more."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(machine.disk) as ours:
            os.write(writing, b"1" if ours else b"0")
            os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    assert os.read(reading, 1) == b"1"
    os.close(reading)
    os.close(writing)
    return child


def test_both_the_timer_and_the_sentinel_are_armed_for_the_transaction_and_gone_after_it(world: World) -> None:
    record = to_healthy(world.machine(), first_system(world))

    assert world.systemd.timers() == ["deployer-deadman.timer", "deployer-sentinel.service"]
    assert world.systemd.command_of("deployer-sentinel.service")[-3:] == ["recover", "--sentinel", record.transaction]
    assert recover_from_timer(world.machine(), record.transaction) == 0
    assert world.systemd.timers() == []


def test_the_timer_leaves_units_the_time_to_stop_that_their_own_generation_gives_them(world: World) -> None:
    web = "[Service]\nExecStart=/bin/web\n"
    slow = Manifest(
        units=(Unit("web.service", web),),
        etc=(link("systemd/system/web.service", web),),
        timing=Timing(unit_timeout=900),
        runtime="/nix/store/runtime",
    )
    one = world.add_system("slow", slow, {"systemd/system/web.service": web})
    two = world.add_system("quick", Manifest(timing=Timing(unit_timeout=10), runtime="/nix/store/runtime"), {})
    assert deploy(world.machine(), one, "", 1) == CONFIRMED

    record = to_healthy(world.machine(), two, one, 2)

    assert world.systemd.memory()["timers"]["deployer-deadman.timer"] > 4 * 900
    assert record.next == two


def test_a_timer_that_comes_after_its_transaction_has_ended_leaves_the_next_one_alone(world: World) -> None:
    one, two = first_system(world), second_system(world)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    record = to_healthy(world.machine(), two, one, 2)
    before = state_of(world)

    assert recover_from_timer(world.machine(), f"{1:032x}") == 0

    assert world.machine().journal.read() == record
    assert state_of(world) == before


def test_a_timer_on_a_host_that_was_uninstalled_meanwhile_finds_nothing_to_do(world: World) -> None:
    assert recover_from_timer(world.machine(), "1" * 32) == 0


def test_the_holder_of_the_lock_is_found(world: World) -> None:
    machine = world.machine()
    lay_out(machine.disk)
    assert holder(machine.disk) is None

    with locked(machine.disk):
        assert holder(machine.disk) == os.getpid()
    assert holder(machine.disk) is None


def test_a_frozen_process_that_holds_the_lock_is_ended_and_the_transaction_undone(world: World) -> None:
    one = first_system(world)
    lay_out(world.machine().disk)
    old = state_of(world)
    record = to_healthy(world.machine(), one)
    frozen = freeze_with_lock(world.machine())

    assert recover_from_timer(world.machine(), record.transaction) == 0

    assert os.waitstatus_to_exitcode(os.waitpid(frozen, 0)[1]) == -signal.SIGKILL
    assert state_of(world) == old
    assert world.machine().journal.read().state == ROLLED_BACK


def damage(world: World) -> None:
    (world.root / JOURNAL.lstrip("/")).write_bytes(os.urandom(2 * SLOT_SIZE))


def by_boot(machine: Machine) -> None:
    assert recover_from_boot(machine) == 0


def by_timer(machine: Machine) -> None:
    assert recover_from_timer(machine, f"{2:032x}") == 0


def by_request(machine: Machine) -> None:
    with locked(machine.disk):
        ready(machine)


@pytest.mark.parametrize("recover", [by_boot, by_timer, by_request])
@pytest.mark.parametrize("request_is_lost", [False, True], ids=["", "and-request"])
def test_a_damaged_journal_leads_back_to_the_good_generation_and_says_so(
    world: World, recover: Callable[[Machine], None], request_is_lost: bool
) -> None:
    one, two = first_system(world), second_system(world)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    old = state_of(world)
    to_healthy(world.machine(), two, one, 2)
    damage(world)
    if request_is_lost:
        (world.root / REQUEST.lstrip("/")).write_text("not JSON")

    recover(world.machine())

    found, record = state_of(world), world.machine().journal.read()
    if request_is_lost:  # whose number was new is not known any more: its link stays, as a generation that was never current
        found["generations"] = {number: system for number, system in found["generations"].items() if system != two}
    if recover is not by_boot:
        assert found == old
    assert found["etc"] == old["etc"]
    assert found["current"] == old["current"]
    assert "neither slot of the journal" in record.reason
    assert record.is_terminal
    assert read_state(world.machine().disk).phase == SETTLED


def test_a_journal_that_is_damaged_at_rest_is_made_anew_and_keeps_the_fence(world: World) -> None:
    one, two = first_system(world), second_system(world)
    assert deploy(world.machine(), one, "", 1, epoch=7) == CONFIRMED
    old = state_of(world)
    damage(world)

    by_request(world.machine())

    assert state_of(world) == old
    record = world.machine().journal.read()
    assert (record.epoch, record.next) == (7, one)
    assert (world.root / GOOD.lstrip("/")).readlink() == Path(one)
    assert deploy(world.machine(), two, one, 2, epoch=8) == CONFIRMED


def test_what_was_read_of_an_ended_transaction_is_on_the_disk_before_anything_follows_from_it(world: World) -> None:
    """A sync of the journal that failed may have left the record in memory alone."""
    one = first_system(world)
    machine = world.machine()
    record = to_healthy(machine, one)
    seen: list[str] = []
    failing = world.machine(lambda operation, path: seen.append(f"{operation} {path}"))
    machine.journal.write(Record.from_document({**record.to_document(), "state": CONFIRMED}))

    with locked(failing.disk):
        ready(failing)

    assert seen[0] == f"overwrite {JOURNAL}"
    assert failing.journal.read().state == CONFIRMED


async def test_the_sentinel_acts_once_its_time_is_over(tmp_path: Path) -> None:
    told = tmp_path / "told"

    await run([*sentinel.command(1, ["/usr/bin/touch", str(told)])], timeout=60)

    assert told.exists()


async def test_the_sentinel_of_a_host_that_slept_across_the_deadline_acts_when_it_wakes(tmp_path: Path) -> None:
    """The kernel's uptime goes on in suspend; here a pipe of ours lies over it, which jumps once it was read."""
    uptime, told = tmp_path / "uptime", tmp_path / "told"
    os.mkfifo(uptime)
    script = 'mount --bind "$0" /proc/uptime && exec 3<>"$0" && printf "100.25 1.0\\n4000.00 1.0\\n" >&3 && exec "$@"'
    waiting = sentinel.command(600, ["/usr/bin/touch", str(told)])

    await run(["unshare", "--mount", "/bin/sh", "-c", script, str(uptime), *waiting], timeout=60)

    assert told.exists()


def patient(world: World, name: str) -> str:
    """A system that is confirmed again after a restart."""
    manifest = Manifest(etc=(link("web.conf", name),), timing=Timing(on_reboot=CONFIRM_AGAIN), runtime="/nix/store/runtime")
    return world.add_system(name, manifest, {"web.conf": name})


def boot(world: World, machine: Machine | None = None) -> None:
    """The power was gone, and is back."""
    world.systemd.reboot()
    assert recover_from_boot(machine or world.machine()) == 0


def lay_confirmation(machine: Machine, transaction: str) -> None:
    content = json.dumps({"transaction": transaction, "token": TOKEN}).encode()
    machine.disk.write(CONFIRMATION, content, PRIVATE)


def test_a_restart_while_it_waits_boots_into_the_new_generation_where_so_configured(world: World) -> None:
    one, two = patient(world, "one"), patient(world, "two")
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    first = to_healthy(world.machine(), two, one, 2)

    boot(world)

    machine = world.machine()
    record = machine.journal.read()
    assert (record.state, record.tries, record.restarts, record.boot_id) == (RESTARTED, 0, 1, "boot-1")
    assert machine.profile.current().system == two
    assert world.systemd.timers() == ["deployer-activation.service", "deployer-deadman.timer", "deployer-sentinel.service"]
    with pytest.raises(ConfirmRefused, match="restarted"):
        confirm(machine, first.transaction, TOKEN)
    with locked(machine.disk), pytest.raises(HostBusy):
        ready(machine)

    with locked(machine.disk):
        lay_confirmation(machine, first.transaction)
        assert Driver(machine).run(first.transaction).state == CONFIRMED
    assert (world.root / GOOD.lstrip("/")).readlink() == Path(two)


def test_a_restart_while_it_waits_goes_back_by_default(world: World) -> None:
    one, two = first_system(world), second_system(world)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    to_healthy(world.machine(), two, one, 2)

    boot(world)

    record = world.machine().journal.read()
    assert (record.state, record.tries) == (ROLLED_BACK, 0)
    assert "the host was restarted while the transaction was healthy" in record.reason


def test_a_second_restart_goes_back(world: World) -> None:
    one, two = patient(world, "one"), patient(world, "two")
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    to_healthy(world.machine(), two, one, 2)

    boot(world)
    boot(world)

    assert world.machine().journal.read().state == ROLLED_BACK
    assert world.machine().profile.current().system == one


def test_the_try_is_counted_down_before_anything_of_it_happens(world: World) -> None:
    one, two = patient(world, "one"), patient(world, "two")
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    to_healthy(world.machine(), two, one, 2)
    seen: list[tuple[str, int]] = []

    def door(operation: str, path: str) -> None:
        seen.append((f"{operation} {path}", world.machine().journal.read().tries))

    boot(world, world.machine(door))

    assert seen[0] == (f"overwrite {JOURNAL}", 1)
    assert {tries for _, tries in seen[1:]} == {0}


def test_a_confirmation_of_the_boot_before_does_not_count(world: World) -> None:
    two = patient(world, "two")
    record = to_healthy(world.machine(), two)
    lay_confirmation(world.machine(), record.transaction)

    boot(world)

    machine = world.machine()
    with locked(machine.disk):
        assert Driver(machine).run(record.transaction).state == ROLLED_BACK
    assert "no confirmation" in machine.journal.read().reason


def test_a_cancellation_of_the_boot_before_counts(world: World) -> None:
    to_healthy(world.machine(), patient(world, "two"))
    world.machine().disk.write(CANCELLATION, b"", PRIVATE)

    boot(world)

    assert world.machine().journal.read().state == ROLLED_BACK


def test_a_boot_that_never_comes_up_is_undone_by_the_switch(world: World) -> None:
    record = to_healthy(world.machine(), patient(world, "two"))
    boot(world)

    assert recover_from_timer(world.machine(), record.transaction) == 0

    assert world.machine().journal.read().state == ROLLED_BACK
    assert world.machine().profile.current().system == ""


def test_a_record_in_a_state_of_a_newer_version_is_rolled_back(world: World) -> None:
    one, two = first_system(world), second_system(world)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    old = state_of(world)
    record = to_healthy(world.machine(), two, one, 2)
    world.machine().journal.write(dataclasses.replace(record, state="of-tomorrow"))

    assert recover_from_timer(world.machine(), record.transaction) == 0

    assert state_of(world) == old
