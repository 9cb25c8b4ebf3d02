"""A confirmation that comes at the very moment of the deadline: whoever brings it is told what has become of the host."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from deployer.formats.messages import CONFIRMED, HEALTHY, ROLLED_BACK
from deployer.formats.state import SETTLED
from deployer.host.activate import Driver
from deployer.host.clock import Clock
from deployer.host.follow import await_rest, confirm
from deployer.host.lock import locked
from deployer.host.machine import Machine
from deployer.host.prepare import lay_out, prepare
from deployer.host.recovery import recover_from_timer
from deployer.host.refusals import ConfirmRefused
from deployer.host.settling import settle
from deployer.host.standing import read_state
from deployer.host.transaction import Moment, Record
from tests.host.test_crashes import deploy, first_system, second_system
from tests.host.world import TOKEN, World, activation

RACES: Final = int(os.environ.get("DEPLOYER_TEST_RACES", "500"))
SEED: Final = int(os.environ.get("DEPLOYER_TEST_RACES_SEED", "1"))
AT_ONCE: Final = 6
BEFORE_DEADLINE: Final = 0.05
"""Seconds, in which the driver looks some times for a confirmation."""


class QuickClock(Clock):
    """Real time, in which waiting is ten times as short."""

    def now(self) -> Moment:
        return Moment(time.monotonic(), "boot-0")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / 10)


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """Syncing is not what is tested here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, prefix="deployer-race-") as directory:
        yield Path(directory)


def machine_of(place: Path) -> Machine:
    """As one more process has it."""
    return dataclasses.replace(World(place).machine(), clock=QuickClock())


def drive(machine: Machine) -> None:
    """The service, from healthy on; where it is slow to begin, somebody may have been there before it."""
    with locked(machine.disk, 10.0) as ours:
        assert ours
        driver, record = Driver(machine), machine.journal.read()
        while not record.is_terminal:
            record = driver.step(record)
        settle(machine, record)


def bring(machine: Machine, record: Record, delay: float) -> str:
    """The controller; what it is told."""
    time.sleep(delay)
    try:
        return confirm(machine, record.transaction, TOKEN).state
    except ConfirmRefused as refused:
        return refused.state


def race(place: Path, delay: float, timer: float | None) -> tuple[str, str]:
    """What the controller was told, and what the journal says when all have ended."""
    machine = machine_of(place)
    record = dataclasses.replace(machine.journal.read(), deadline=time.monotonic() + BEFORE_DEADLINE)
    machine.journal.write(record)
    threads = [threading.Thread(target=drive, args=(machine_of(place),))]
    if timer is not None:
        threads.append(threading.Timer(timer, recover_from_timer, (machine_of(place), record.transaction)))
    for thread in threads:
        thread.start()
    told = bring(machine_of(place), record, delay)
    for thread in threads:
        thread.join()
    return told, await_rest(machine, 10.0).state


def test_a_confirmation_races_the_deadline_without_a_wrong_verdict(in_memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(SEED)
    world = World(in_memory / "host")
    one, two = first_system(world), second_system(world)
    assert deploy(world.machine(), one, "", 1) == CONFIRMED
    machine = world.machine()
    lay_out(machine.disk)
    with locked(machine.disk):
        record, _ = prepare(machine, activation(two, one, 2))
        assert record is not None
        driver = Driver(machine)
        while record.state != HEALTHY:
            record = driver.step(record)

    def one_race(number: int, delay: float, timer: float | None) -> str:
        place = in_memory / str(number)
        shutil.copytree(world.root.parent, place, symlinks=True)
        told, ended = race(place, delay, timer)
        assert told == ended, f"race {number} of seed {SEED}"
        content = (place / "root/etc/deep/er/real").read_text()
        assert content == {CONFIRMED: "real two\n", ROLLED_BACK: "real one\n"}[ended]
        line = read_state(machine_of(place).disk)
        assert (line.phase, line.system) == (SETTLED, {CONFIRMED: two, ROLLED_BACK: one}[ended])
        shutil.rmtree(place)
        return ended

    delays = [chance.uniform(0.2, 1.1) * BEFORE_DEADLINE for _ in range(RACES)]
    timers = [chance.uniform(0.8, 1.2) * BEFORE_DEADLINE if number % 4 == 0 else None for number in range(RACES)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = Counter(pool.map(one_race, range(RACES), delays, timers))

    with capsys.disabled():
        print(f"\n{RACES} races, seed {SEED}: {dict(ended)}")  # noqa: T201
    assert ended.total() == RACES
    assert set(ended) == {CONFIRMED, ROLLED_BACK}
