"""Cutting the power in the middle of a piece of work, switching it on again, and judging what there is then."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deployer.errors import DeployerError
from deployer.formats.messages import CONFIRMED, HEALTHY, ROLLED_BACK
from tests.lab.fleet import Fleet, Running
from tests.machines.machine import Machine, fleet_of
from tests.power import generations
from tests.power.controllers_store import STORE_WORKS, ControllersStore, install
from tests.power.host import Seen, await_collection, look
from tests.power.kinds import Kind

STORE: Final = "store"
_PARTS: Final[Mapping[str, dict[str, Any]]] = {
    "copy": {"event": "host_started"},
    "activation": {"event": "closure_copied"},
    "confirm": {"event": "host_phase_reached", "state": HEALTHY},
    "collection": {"event": "host_confirmed"},
}
"""The parts of a deployment, by the events that they begin with; each goes on until the next begins."""
WORKS: Final = (*_PARTS, STORE)
_STORE_SECONDS: Final = 8.0
"""After which work in a store is cut off, at the latest."""


@dataclass(frozen=True)
class Cut:
    """One cut: where, and how it is drawn."""

    work: str
    seed: int

    def __str__(self) -> str:
        """For people."""
        return f"{self.work}, seed {self.seed}"


@dataclass(frozen=True)
class Start:
    """What every cut starts from: a machine with a generation on it, and what its controller keeps."""

    machines: Kind
    controller: Path
    seen: Seen
    store: ControllersStore

    @contextlib.contextmanager
    def machine(self, directory: Path) -> Iterator[tuple[Machine, Fleet]]:
        """A machine that goes on from here, with a controller of its own."""
        machine = self.machines.another(directory / "machine")
        try:
            shutil.copytree(self.controller, directory / "controller", symlinks=True)
            with machine.network():
                yield machine, fleet_of(machine, directory / "controller")
        finally:
            machine.remove()
            shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True)
class Uncut:
    """The deployment with nothing going wrong."""

    seen: Seen
    lengths: Mapping[str, float]
    """Seconds, by part."""


def deploy(fleet: Fleet) -> list[str]:
    """Deploy, however long it takes; what went wrong."""
    return trouble(fleet, "deploy", "--yes")


def trouble(fleet: Fleet, *command: str) -> list[str]:
    """What went wrong with a command."""
    with fleet.start(*command) as running:
        status = running.wait()
    return [f"`deployer {' '.join(command)}` ended with {status}: {running.seen[-2:]}"] * (status != 0)


def prepare(machines: Kind, directory: Path) -> Start:
    """Boot a machine, deploy to it twice, put a store on it, and save it."""
    machine = machines.first(directory / "machine")
    controller = directory / "controller"
    controller.mkdir()
    try:
        with machine.network():
            fleet = fleet_of(machine, controller)
            for name in ("zero", "one"):
                generations.write(fleet, name)
                failed = deploy(fleet)
                assert not failed, failed
            store = install(machine, directory)
            await_collection(machine)
            seen = look(machine)
            assert seen.wrong == (), seen.wrong
            machine.run("sync")
        machines.save(machine)
    finally:
        machine.remove()
    return Start(machines, controller, seen, store)


def uncut(start: Start, directory: Path) -> Uncut:
    """Deploy what will be cut off, to its end."""
    with start.machine(directory) as (machine, fleet):
        generations.write(fleet, "two")
        began: dict[str, float] = {}
        with fleet.start("deploy", "--yes") as running:
            for event in running.events():
                began.update({part: time.monotonic() for part, first in _PARTS.items() if first.items() <= event.items()})
            assert running.wait() == 0, running.seen[-5:]
        await_collection(machine)
        began["end"] = time.monotonic()
        seen = look(machine)
    assert (seen.state, seen.wrong) == (CONFIRMED, ()), seen.wrong
    moments = [*(began[part] for part in _PARTS), began["end"]]
    return Uncut(seen, {part: after - before for part, before, after in zip(_PARTS, moments, moments[1:], strict=False)})


def wrong(cut: Cut, start: Start, expected: Uncut, directory: Path) -> list[str]:
    """Cut there, switch on, and say all that is not as it must be."""
    try:
        with start.machine(directory) as (machine, fleet):
            if cut.work == STORE:
                return _cut_store(machine, start.store, cut.seed)
            return _cut_deployment(machine, fleet, cut, start, expected)
    except (AssertionError, DeployerError, OSError, subprocess.SubprocessError) as error:  # the other cuts go on
        return [f"{type(error).__name__}: {error}"]


def _cut_deployment(machine: Machine, fleet: Fleet, cut: Cut, start: Start, expected: Uncut) -> list[str]:
    generations.write(fleet, "two")
    with fleet.start("deploy", "--yes") as running:
        first = dict(_PARTS[cut.work])
        running.until(first.pop("event"), **first)
        time.sleep(random.Random(cut.seed).uniform(0, expected.lengths[cut.work]))
        machine.cut()
        machine.boot()
        running.wait()
    seen = look(machine)
    state = seen.state if seen.transaction != start.seen.transaction else ""
    if state not in ("", CONFIRMED, ROLLED_BACK):
        return [f"the journal says {seen.state}"]
    is_new = state == CONFIRMED
    found = [*seen.wrong, *_disbelieved(running, is_new=is_new)]
    found += [f"otherwise: {line}" for line in seen.differences(expected.seen if is_new else start.seen, copied=False)]
    # A collection that was cut off is for the next one to do.
    if failed := deploy(fleet) or trouble(fleet, "generations", "collect"):
        return [*found, *failed]
    await_collection(machine)
    seen = look(machine)
    found += [f"after the next deployment: {line}" for line in (*seen.wrong, *seen.differences(expected.seen, copied=True))]
    return found


def _disbelieved(running: Running, *, is_new: bool) -> list[str]:
    """Where the controller told its user otherwise than the host stands."""
    told = {event["event"] for event in running.seen if "event" in event}
    found = ["the controller said that it was confirmed"] * ("host_confirmed" in told and not is_new)
    return found + ["the controller said that it was rolled back"] * ("host_rolled_back" in told and is_new)


def _cut_store(machine: Machine, store: ControllersStore, seed: int) -> list[str]:
    dice = random.Random(seed)
    with store.begin(machine, dice.choice(STORE_WORKS), seed) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(dice.uniform(0, _STORE_SECONDS))
        machine.cut()
        said = process.stdout.read().decode()
    machine.boot()
    whole = said[: said.rfind("\n") + 1]
    return store.wrong(machine, whole.split())
