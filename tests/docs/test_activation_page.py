"""The table of states on the page about activation is the one that the host acts by."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from deployer.formats.manifest import CONFIRM_AGAIN, Manifest, Timing, Unit
from deployer.formats.messages import CONFIRMED, HEALTHY, RESTARTED, ROLLBACK_FAILED, ROLLED_BACK, ROLLING_BACK, SWITCHING
from deployer.host.activate import Driver
from deployer.host.deadman import WANTS
from deployer.host.lock import locked
from deployer.host.machine import RECOVER, Machine
from deployer.host.paths import CURRENT, JOURNAL, STATE_DIRECTORY
from deployer.host.prepare import lay_out, prepare
from deployer.host.settling import settle
from deployer.host.transaction import MAX_CUTS, MAX_ROLLBACK_ATTEMPTS, NONE, TABLE, TERMINAL, UNINSTALLING, Event
from tests.docs.project_pages import ROOT
from tests.host.test_recovery import lay_confirmation
from tests.host.world import World, activation, link

PAGE = (ROOT / "docs" / "explanation" / "activation.md").read_text(encoding="utf-8")
UNIT = "[Service]\nExecStart=/bin/web\n"
NOTHING = "–"
NUMBERS = {3: "three", 10: "ten"}
COLUMNS = (Event.GO_ON, Event.FAIL, Event.INTERRUPT, Event.REBOOT)


def rows() -> Mapping[str, list[str]]:
    """By state: the cells after its own."""
    table = PAGE.partition("## The states")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| `")]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells[1:]] for cells in lines}


def cell(state: str, event: Event) -> str:
    """What the page must say of a pair."""
    following = TABLE.get((state, event))
    if following is None:
        return NOTHING
    if following == RESTARTED:
        return f"`{RESTARTED}` while tries are left, else `{ROLLING_BACK}`"
    if state == following == ROLLING_BACK:
        bound = NUMBERS[MAX_ROLLBACK_ATTEMPTS if event is Event.FAIL else MAX_CUTS]
        return f"`{ROLLING_BACK}` up to {bound} times, then `{ROLLBACK_FAILED}`"
    return f"`{following}`"


def test_the_page_has_every_state_and_what_each_event_makes_of_it() -> None:
    states = {state for state, _ in TABLE} | set(TABLE.values()) | (TERMINAL - {NONE})

    assert {state: cells[2:] for state, cells in rows().items()} == {
        state: [cell(state, event) for event in COLUMNS] for state in rows()
    }
    assert set(rows()) == states


def test_the_heading_names_the_events_of_the_columns() -> None:
    heading = next(line for line in PAGE.splitlines() if line.startswith("| state |"))

    assert re.findall(r"`([a-z-]+)`", heading) == [event.value for event in COLUMNS]


def test_the_events_without_a_column_are_told_below_the_table() -> None:
    assert {event for event in Event if event not in COLUMNS} == {Event.RETRY, Event.COME_UP}
    assert {pair: state for pair, state in TABLE.items() if pair[1] is Event.COME_UP} == {(SWITCHING, Event.COME_UP): RESTARTED}
    assert "`come-up`: a switch that a boot has made is done, and `switching` becomes `restarted`" in PAGE
    assert {pair: state for pair, state in TABLE.items() if pair[1] is Event.RETRY} == {
        (ROLLBACK_FAILED, Event.RETRY): ROLLING_BACK
    }
    assert "`retry`: a person cancels a transaction whose rollback failed, and `rollback-failed` becomes `rolling-back`" in PAGE


def classified(operation: str, path: str) -> str:
    """What of a host an effect on the disk touches."""
    if operation == "change":
        return ""  # of PID 1, which is compared before and after
    if RECOVER in path or path.startswith(WANTS):
        return "the switch"
    return "" if path.startswith(STATE_DIRECTORY) and path != CURRENT else "the host"


def touched(world: World, machine: Machine, work: Callable[[], object], seen: list[tuple[str, str]]) -> str:
    """What some work touched, in the words of the page; what it recorded comes first."""
    seen.clear()
    timers, active = world.systemd.timers(), world.systemd.active()
    work()
    found = {classified(*effect) for effect in seen}
    found |= {"the switch"} if world.systemd.timers() != timers else set()
    found |= {"the host"} if world.systemd.active() != active else set()
    return ", ".join(sorted(found - {""})) or NOTHING


@pytest.mark.parametrize("ends_well", [True, False])
def test_each_state_touches_what_the_page_says_and_is_recorded_before_that(tmp_path: Path, ends_well: bool) -> None:
    world, seen = World(tmp_path), []
    manifest = Manifest(
        etc=(link("web.conf", "one"), link("systemd/system/web.service", UNIT)),
        units=(Unit("web.service", UNIT),),
        timing=Timing(on_reboot=CONFIRM_AGAIN),
        runtime="/nix/store/runtime",
    )
    system = world.add_system("one", manifest, {"web.conf": "one", "systemd/system/web.service": UNIT})
    machine = world.machine(lambda operation, path: seen.append((operation, path)))
    lay_out(machine.disk)
    with locked(machine.disk):
        record, _ = prepare(machine, activation(system))
        assert record is not None
        says = {state: cells[1] for state, cells in rows().items()}
        driver, visited = Driver(machine), []

        def step() -> None:
            """The work of a state, and then the record of the next: what comes after that is the next one's."""
            nonlocal record
            assert record is not None
            record = driver.step(record)

        while not record.is_terminal:
            if record.state == HEALTHY and not record.restarts:
                world.systemd.reboot()
                booting = Driver(machine, booting=True)
                assert touched(world, machine, partial(booting.take_over, "", Event.REBOOT), seen) == says[RESTARTED]
                assert seen[0] == ("overwrite", JOURNAL)
                record = machine.journal.read()
                world.systemd.queue("start", ["default.target"])
                visited.append(RESTARTED)
            if record.state == HEALTHY and ends_well:
                lay_confirmation(machine, record.transaction)
            visited.append(record.state)
            expected = NOTHING if record.state == RESTARTED else says[record.state]
            assert touched(world, machine, step, seen) == expected, visited[-1]
            assert seen[-1] == ("overwrite", JOURNAL)
        assert touched(world, machine, lambda: settle(machine, machine.journal.read()), seen) == says[record.state]
    assert record.state == (CONFIRMED if ends_well else ROLLED_BACK)
    assert set(says) - set(visited) == {*TERMINAL, UNINSTALLING} - {NONE} | ({ROLLING_BACK} if ends_well else set())
