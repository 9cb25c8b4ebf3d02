"""What is wrong with a unit, and what a repair does about it. Pure: `drift` tells the first, `reconcile` does the second.

Both come from one list, so that whatever is told can be set right, and nothing is touched that was not told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Iterator, Mapping, Tuple

from deployer.formats.manifest import Unit
from deployer.host.machine import UnitStatus
from deployer.host.unit_files import UnitFile, declared, runs_once
from deployer.host.unit_names import NEVER_STARTED_TARGETS, is_template
from deployer.host.unit_state import UnitState

UNITS: Final = "/etc/systemd/system"
MASKS: Final = (UNITS, "/run/systemd/system")
"""Where a mask of somebody's may lie."""

START: Final = "start"
RESTART: Final = "restart"
STOP: Final = "stop"
REREAD: Final = "change"
"""systemd reads its files again."""


@dataclass(frozen=True)
class Fault:
    """One difference between a unit and what is declared of it."""

    declared: str
    observed: str
    repair: Tuple[str, ...] = ()
    """What sets it right."""
    foreign: Tuple[str, ...] = ()
    """Files of somebody's that are in the way, and are set aside first."""


def unit_faults(units: Mapping[str, Unit], states: Mapping[str, UnitStatus], system: str) -> Iterator[Tuple[str, Fault]]:
    """Every fault of every declared unit, by name. `system` is the current one's store path."""
    for name, unit in units.items():
        status = states.get(name)
        if status is not None and not is_template(name):
            for fault in _faults(unit, declared(name, units) or unit, status, system):
                yield name, fault


def may_start(unit: Unit, whole: Unit) -> bool:
    """Whether it is to be active, and we are the ones to start it. `whole`: with what its template says."""
    file = UnitFile.of(whole)
    by_hand = file.flag("Unit", "RefuseManualStart", False) or file.flag("Unit", "X-OnlyManualStart", False)
    return unit.start and not by_hand and unit.name not in NEVER_STARTED_TARGETS


def _faults(unit: Unit, whole: Unit, status: UnitStatus, system: str) -> Iterator[Fault]:
    start = (START,) if may_start(unit, whole) and not status.is_active else ()
    if unit.masked:
        if status.load != "masked":
            yield Fault("masked", status.load, (REREAD, *((STOP,) if status.is_active else ())))
        return
    if status.load == "masked":
        masks = () if unit.text else tuple(f"{place}/{unit.name}" for place in MASKS)
        yield Fault("not masked", "masked", (REREAD, *start), masks)
        return
    if status.load != "loaded":
        yield Fault("loaded", status.load, (REREAD, *start))
        return
    if isinstance(status, UnitState):
        yield from _of_definition(unit, status, system)
    if not may_start(unit, whole):
        return
    if status.is_crashing or (not status.is_active and not _has_nothing_to_do(unit, status)):
        # systemd puts a start off until its own next attempt is due.
        verb = RESTART if status.sub == "auto-restart" else START
        yield Fault("active", str(status) if isinstance(status, UnitState) else status.active, (verb,))


def _of_definition(unit: Unit, state: UnitState, system: str) -> Iterator[Fault]:
    """What systemd has loaded is what stands on the disk, and nobody adds to a unit of ours."""
    if state.needs_reload:
        yield Fault("loaded as it stands on disk", "changed on disk since it was loaded", (REREAD,))
    if not unit.text:
        return
    afresh = (REREAD, RESTART) if state.is_active else (REREAD,)
    # systemd 247 follows links before it tells where a unit's file is; later ones tell the name under which they found it.
    if state.fragment not in ("", f"{UNITS}/{unit.name}", f"{system}{UNITS}/{unit.name}"):
        yield Fault(f"{UNITS}/{unit.name}", state.fragment, afresh)
    ours = {f"{UNITS}/{unit.name}.d/{name}" for name in unit.drop_ins}
    for path in state.drop_ins:
        if path.startswith(("/etc/", "/run/")) and f"/{unit.name}.d/" in path and path not in ours:
            yield Fault("no other drop-in", path, afresh, (path,))


def _has_nothing_to_do(unit: Unit, status: UnitStatus) -> bool:
    """Whether a unit that does not run has simply done its work, or its conditions do not hold."""
    if isinstance(status, UnitState):
        return status.is_done
    return status.active == "inactive" and runs_once(unit)
