"""Every order in which things can happen to a transaction: the real decisions and the real driver, on a simulated host.

    step       the driver does the work of one state, and records the next
    crash      it dies before an effect on disk, PID 1 or kernel: each of them, in its first life
    reboot     the host's memory is gone; the boot unit runs, where it stands; and once more, cut off in the middle
    time-out   the deadline is over: the switch goes off, and what drove until then is killed
    confirm    the token comes over a fresh connection
    cancel     somebody wants it undone
    second     another controller wants to deploy something else

The depth is how many things happen besides steps, of which there may be any number. A state that was reached before is not
explored again. `DEPLOYER_TEST_MODEL_DEPTH=3 DEPLOYER_TEST_MODEL_SAMPLE=1000` goes further than the suite does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import random
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from deployer.errors import DeployerError
from deployer.formats.manifest import CONFIRM_AGAIN, ROLL_BACK, Manifest, Timing, Unit
from deployer.formats.messages import CONFIRMED, HEALTHY, RESTARTED, ROLLBACK_FAILED, ROLLED_BACK, ROLLING_BACK
from deployer.formats.state import SETTLED
from deployer.host import follow
from deployer.host.activate import Driver
from deployer.host.deadman import is_left_over
from deployer.host.lock import locked
from deployer.host.machine import ACTIVATION, DEADMAN, RECOVER, Machine
from deployer.host.paths import CANCELLATION, EVENTS, JOURNAL, UNDO
from deployer.host.prepare import prepare, ready
from deployer.host.recovery import recover_from_boot, recover_from_timer
from deployer.host.refusals import ConfirmRefused
from deployer.host.standing import PRIVATE, read_state
from deployer.host.transaction import MAX_ROLLBACK_ATTEMPTS, Event, is_overdue, is_resuming
from tests.host.test_crashes import deploy, state_of
from tests.host.test_recovery import lay_confirmation
from tests.host.world import TOKEN, World, WorldClock, activation, link, real_file

DEPTH: Final = int(os.environ.get("DEPLOYER_TEST_MODEL_DEPTH", "2"))
SEED: Final = int(os.environ.get("DEPLOYER_TEST_MODEL_SEED", "1"))
SAMPLE: Final = int(os.environ.get("DEPLOYER_TEST_MODEL_SAMPLE", "1"))
"""Crashes in the middle of each event, and ways to recover from each state. Of a driver that nothing disturbed all are tried."""
WRITTEN_IN_PLACE: Final = (*(os.path.basename(path) for path in (JOURNAL, UNDO, EVENTS)), "roots.json")


class Died(BaseException):
    """The process is gone."""


@dataclass(frozen=True)
class Node:
    """A host at one moment, and what is not on its disk."""

    place: Path
    seconds: float
    alive: bool
    """Whether the service runs."""
    events: tuple[str, ...]
    second: bool = False
    """Whether another controller's transaction has taken the place of the first."""

    def world(self) -> World:
        return World(self.place)

    def machine(self, door: Callable[[str, str], None] = lambda operation, path: None) -> Machine:
        machine = self.world().machine(door)
        assert isinstance(machine.clock, WorldClock)
        machine.clock.seconds = self.seconds
        return machine


class Door:
    """Counts effects, and ends the process before one of them."""

    def __init__(self, dies_at: int = -1) -> None:
        self.count, self._dies_at = 0, dies_at

    def __call__(self, operation: str, path: str) -> None:
        if 0 <= self._dies_at <= self.count:
            raise Died
        self.count += 1


class Model:
    """All that is explored from one beginning."""

    def __init__(self, directory: Path, *, fails: bool, on_reboot: str) -> None:
        self._directory, self._number = directory, 0
        self._random = random.Random(SEED)
        self._is_plain = not fails and on_reboot == ROLL_BACK
        self.paths: Counter[str] = Counter()
        self.seen: set[str] = set()
        world = World(self._place())
        self.one = self._system(world, "one")
        self.two = self._system(world, "two", fails=fails, on_reboot=on_reboot)
        self.three = self._system(world, "three")
        assert deploy(world.machine(), self.one, "", 1) == CONFIRMED
        self.expected = {self.one: _without_generations(state_of(world))}
        for number, system in enumerate((self.two, self.three), 2):
            trial = self._copy(world.root.parent)
            ends = deploy(World(trial).machine(), system, self.one, number)
            assert ends == (ROLLED_BACK if fails and system == self.two else CONFIRMED)
            if ends == CONFIRMED:
                self.expected[system] = _without_generations(state_of(World(trial)))
        with locked(world.machine().disk):
            record, _ = prepare(world.machine(), activation(self.two, self.one, 9, epoch=5))
            assert record is not None
        self.begin = Node(world.root.parent, 1000.0, alive=True, events=())

    def explore(self) -> None:
        """Breadth first."""
        self.seen.add(self._key(self.begin))
        waiting = deque([self.begin])
        while waiting:
            node = waiting.popleft()
            for following in self._following(node) if _depth(node) < DEPTH else self._steps(node):
                self._check(node, following)
                key = self._key(following)
                if key in self.seen:
                    shutil.rmtree(following.place)
                    continue
                self.seen.add(key)
                waiting.append(following)
            self._check_recoveries(node)
            shutil.rmtree(node.place)

    # -- what can happen ---------------------------------------------------------------------------------------------------

    def _following(self, node: Node) -> Iterator[Node]:
        yield from self._steps(node, crashes=True)
        yield from self._with_crashes(node, "reboot", self._reboot)
        if set(node.world().systemd.timers()) - {ACTIVATION}:
            yield from self._with_crashes(node, "time-out", self._time_out)
        if not node.events or node.events[-1] != "confirm":
            yield from self._with_crashes(node, "confirm", self._confirm)
        if "cancel" not in node.events:
            yield from self._with_crashes(node, "cancel", self._cancel)
        if not node.second and not node.alive:
            yield from self._with_crashes(node, "second", self._second)

    def _steps(self, node: Node, *, crashes: bool = False) -> Iterator[Node]:
        resuming = is_resuming(node.machine().journal.read(), node.machine().clock.now())
        if node.alive or (resuming and ACTIVATION in node.world().systemd.timers()):
            if crashes:
                yield from self._with_crashes(node, "step", self._step, all_of_them=_depth(node) == 0 and self._is_plain)
            else:
                yield self._happens(node, "step", self._step, Door())

    def _with_crashes(
        self, node: Node, name: str, happen: Callable[[Node, Door], Node], *, all_of_them: bool = False
    ) -> Iterator[Node]:
        """The event to its end; and the same, cut off before some of its effects, or all."""
        door = Door()
        yield self._happens(node, name, happen, door)
        points = range(door.count)
        for point in points if all_of_them else self._random.sample(points, min(SAMPLE, door.count)):
            yield self._happens(node, f"{name}, crash at {point}", happen, Door(point))

    def _happens(self, node: Node, name: str, happen: Callable[[Node, Door], Node], door: Door) -> Node:
        trial = dataclasses.replace(node, place=self._copy(node.place), events=(*node.events, name))
        self.paths[name.split(",", maxsplit=1)[0] + (", crash" if "," in name else "")] += 1
        try:
            return happen(trial, door)
        except Died:
            trial.world().systemd.discard(ACTIVATION)
            return dataclasses.replace(trial, alive=False)

    def _step(self, node: Node, door: Door) -> Node:
        machine = node.machine(door)
        record = machine.journal.read()
        with locked(machine.disk) as ours:
            assert ours
            driver = Driver(machine)
            if record.is_terminal:
                driver.take_over("", Event.GO_ON)
            else:
                record = driver.step(record)
        ended = machine.journal.read().is_terminal and read_state(machine.disk).phase == SETTLED
        if ended:
            node.world().systemd.discard(ACTIVATION)
        return dataclasses.replace(node, seconds=_now(machine), alive=not ended)

    def _reboot(self, node: Node, door: Door) -> Node:
        node = dataclasses.replace(node, alive=False, seconds=1.0)
        world = node.world()
        world.systemd.reboot()
        try:
            if (world.root / "etc/systemd/system/sysinit.target.wants" / RECOVER).is_symlink():
                recover_from_boot(node.machine(door))
        except Died:
            pass  # the boot goes on without it
        world = node.world()
        world.systemd.daemon_reload()
        world.systemd.queue("start", ["default.target"])
        return node

    def _time_out(self, node: Node, door: Door) -> Node:
        node = dataclasses.replace(node, alive=False, seconds=node.seconds + 10_000)
        node.world().systemd.discard(ACTIVATION)
        machine = node.machine(door)
        recover_from_timer(machine, machine.journal.read().transaction)
        return dataclasses.replace(node, seconds=_now(machine))

    def _confirm(self, node: Node, door: Door) -> Node:
        machine = node.machine(door)
        record = machine.journal.read()
        if node.alive:
            if record.state == HEALTHY:
                lay_confirmation(machine, record.transaction)
            return node
        if record.state == RESTARTED:
            return node
        try:
            answer = follow.confirm(machine, record.transaction, TOKEN).state
        except ConfirmRefused as refused:
            answer = refused.state
        assert answer == machine.journal.read().state
        return dataclasses.replace(node, seconds=_now(machine))

    def _cancel(self, node: Node, door: Door) -> Node:
        machine = node.machine(door)
        if node.alive:
            machine.disk.write(CANCELLATION, b"", PRIVATE)
            return node
        follow.cancel(machine, machine.journal.read().transaction)
        return dataclasses.replace(node, seconds=_now(machine))

    def _second(self, node: Node, door: Door) -> Node:
        machine = node.machine(door)
        record = None
        with locked(machine.disk) as ours:
            assert ours
            with contextlib.suppress(DeployerError):
                record, _ = prepare(machine, activation(self.three, self.one, 10, epoch=6))
        began = record is not None
        return dataclasses.replace(node, seconds=_now(machine), alive=began, second=began)

    # -- what must hold ----------------------------------------------------------------------------------------------------

    def _check(self, before: Node, after: Node) -> None:
        machine = after.machine()
        was, record = before.machine().journal.read(), machine.journal.read()
        told = f"{after.events}: {was.state} -> {record.state}"
        with locked(machine.disk) as ours:
            assert ours, f"an orphan lock after {told}"
        assert record.attempts <= MAX_ROLLBACK_ATTEMPTS, told
        assert record.previous == self.one, told
        assert record.state not in (ROLLBACK_FAILED, "", "uninstalling"), told
        if was.transaction == record.transaction:
            if was.state in (CONFIRMED, ROLLED_BACK):
                assert record.state == was.state, f"what was decided was decided again: {told}"
            if was.state == ROLLING_BACK:
                assert record.state in (ROLLING_BACK, ROLLED_BACK), told
            if record.state == CONFIRMED and was.state != CONFIRMED:
                assert was.state == HEALTHY, told
                assert not is_overdue(was, before.machine().clock.now()), told
        has_boot_unit = (after.place / "root/etc/systemd/system" / RECOVER).exists()
        if not record.is_terminal:
            assert has_boot_unit, f"no boot unit after {told}"
            if not any(event.startswith("reboot") for event in after.events):
                assert f"{DEADMAN}.timer" in after.world().systemd.timers(), f"nobody ends it after {told}"
        settled = record.is_terminal and read_state(machine.disk).phase == SETTLED and not is_left_over(machine)
        if settled and not after.alive:
            self._check_whole(after, told)

    def _check_whole(self, node: Node, told: str) -> None:
        """The old generation, or the new one, and nothing left over."""
        world, record = node.world(), node.machine().journal.read()
        found = _without_generations(state_of(world))
        assert found == self.expected[record.system], f"not whole after {told}"
        assert world.systemd.timers() == [], told
        assert not (world.root / "etc/systemd/system" / RECOVER).exists(), told
        left = [place for above in ("etc", "var/lib/deployer/profile") for place in (world.root / above).rglob(".deployer-*")]
        assert left == [], f"temporary files after {told}"

    def _check_recoveries(self, node: Node) -> None:
        """From wherever it is, whoever comes next knows how to go on, and ends it."""
        if node.alive:
            return
        ways = (self._reboot_twice, self._time_out, self._next_request)
        for recover in self._random.sample(ways, min(SAMPLE, len(ways))):
            trial = dataclasses.replace(node, place=self._copy(node.place))
            decided = trial.machine().journal.read().state
            ended = recover(trial, Door())
            record = ended.machine().journal.read()
            told = f"{node.events}, {recover.__name__}: {decided} -> {record.state}"
            assert record.is_terminal, told
            assert (record.state == CONFIRMED) == (decided == CONFIRMED), told
            if read_state(ended.machine().disk).phase != SETTLED:
                ended = self._next_request(ended, Door())
            self._check_whole(ended, told)
            self.paths[f"recovered by{recover.__name__.replace('_', ' ')}"] += 1
            shutil.rmtree(trial.place)

    def _reboot_twice(self, node: Node, door: Door) -> Node:
        return self._next_request(self._reboot(self._reboot(node, door), door), door)

    def _next_request(self, node: Node, door: Door) -> Node:
        machine = node.machine(door)
        record = machine.journal.read()
        if is_resuming(record, machine.clock.now()):
            return self._time_out(node, door)
        with locked(machine.disk) as ours:
            assert ours
            ready(machine)
        return node

    # -- places ------------------------------------------------------------------------------------------------------------

    def _system(self, world: World, name: str, *, fails: bool = False, on_reboot: str = ROLL_BACK) -> str:
        unit = f"[Service]\nExecStart=/bin/{'fails' if fails else name}\n"
        manifest = Manifest(
            etc=(
                link("web.conf", name),
                real_file(f"{name}/real", name),
                link("systemd/system/web.service", unit),
            ),
            units=(Unit("web.service", unit),),
            timing=Timing(on_reboot=on_reboot),
            runtime="/nix/store/runtime",
        )
        files = {"web.conf": name, f"{name}/real": name, "systemd/system/web.service": unit}
        return world.add_system(name, manifest, files)

    def _place(self) -> Path:
        self._number += 1
        return self._directory / str(self._number)

    def _copy(self, place: Path) -> Path:
        target = self._place()
        shutil.copytree(place, target, symlinks=True, copy_function=_share)
        return target

    def _key(self, node: Node) -> str:
        """Equal for what behaves alike from here on."""
        machine = node.machine()
        record = machine.journal.read()
        digest = hashlib.sha256()
        plain = dataclasses.replace(record, deadline=0.0, created="", boot_id="", reason="")
        overdue = is_overdue(record, machine.clock.now())
        flags = (node.alive, node.second, overdue, "cancel" in node.events, node.events[-1:] == ("confirm",))
        digest.update(repr((plain, *flags)).encode())
        for path in sorted(node.place.rglob("*")):
            name = str(path.relative_to(node.place))
            if "/" + name.partition("/")[2] in (JOURNAL, EVENTS) or name.endswith("systemd.json"):
                continue
            content = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
            digest.update(f"{name}\0{content}\0".encode())
        memory = node.world().systemd.memory()
        memory.pop("boots", None)
        digest.update(repr(sorted(memory.items())).encode())
        return digest.hexdigest()


def _share(source: str, target: str) -> None:
    """Nearly all files are written under another name and renamed: copies may share those."""
    if os.path.basename(source) in WRITTEN_IN_PLACE:
        shutil.copy2(source, target)
    else:
        os.link(source, target)


def _depth(node: Node) -> int:
    return sum(1 for event in node.events if event != "step")


def _now(machine: Machine) -> float:
    return machine.clock.now().seconds


def _without_generations(state: dict[str, Any]) -> dict[str, Any]:
    """Links of generations that were never current tell nothing about the host, and the numbers depend on who came first."""
    found = dict(state)
    found.pop("generations")
    found["current"] = state["current"].system
    return found


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """Syncing is not what is tested here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, prefix="deployer-model-") as directory:
        yield Path(directory)


@pytest.mark.parametrize(
    ("fails", "on_reboot"),
    [(False, ROLL_BACK), (True, ROLL_BACK), (False, CONFIRM_AGAIN)],
    ids=["good", "fails", "confirmed-again"],
)
def test_every_order_of_events_ends_in_the_old_generation_or_the_new_one(
    in_memory: Path, capsys: pytest.CaptureFixture[str], fails: bool, on_reboot: str
) -> None:
    model = Model(in_memory, fails=fails, on_reboot=on_reboot)

    try:
        model.explore()
    finally:
        with capsys.disabled():
            events = ", ".join(f"{count} {name}" for name, count in sorted(model.paths.items()))
            print(f"\ndepth {DEPTH}, seed {SEED}: {len(model.seen)} states; {events}")  # noqa: T201

    assert sum(count for name, count in model.paths.items() if name.startswith("recovered")) > 100
