"""What a change of generation means for units, in the form in which the transaction does it and undoes it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Dict, Final, FrozenSet, Iterable, List, Mapping, Tuple

from deployer.formats.manifest import Manifest, Unit
from deployer.formats.messages import Action
from deployer.host.machine import SystemdPort, UnitStatus
from deployer.host.unit_faults import REREAD, RESTART, START, STOP, unit_faults
from deployer.host.unit_switch import plan_units

_ABOVE_ALL: Final = frozenset({"-.mount", "-.slice", "system.slice"})
"""Everything is bound to them, and nobody stops them."""


@dataclass(frozen=True)
class UnitChanges:
    """Which units are stopped before anything else changes, and which are reloaded, restarted and started after."""

    stop: Tuple[str, ...] = ()
    reload: Tuple[str, ...] = ()
    restart: Tuple[str, ...] = ()
    start: Tuple[str, ...] = ()
    renew: Tuple[str, ...] = ()
    """Of `restart`, those that are all stopped before the first of them starts."""
    implied: Tuple[str, ...] = ()
    """Of `restart`, those that systemd restarts along with others, and refuses to where it is asked to."""
    along: Tuple[str, ...] = ()
    """Of `restart` and not of `renew`, those that systemd restarts along with others without being asked."""
    skipped: Tuple[Action, ...] = ()
    because: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reread: Tuple[str, ...] = ()
    """Units whose files systemd must read again; it is told to in any case where units are touched."""

    @property
    def touched(self) -> FrozenSet[str]:
        """All whose state the change may alter."""
        return frozenset((*self.stop, *self.reload, *self.restart, *self.start))


def look_at_units(systemd: SystemdPort, units: Iterable[Unit]) -> Mapping[str, UnitStatus]:
    """Of units, and of the running instances of templates; and of all that systemd stops along with those that run."""
    todo = sorted({unit.name for unit in units})
    found: Dict[str, UnitStatus] = {}
    while todo:
        found.update(systemd.states(todo))
        running = [status for name, status in found.items() if status.is_active and name not in _ABOVE_ALL]
        todo = sorted({other for status in running for other in status.bound} - set(found))
    return found


def unit_changes(previous: Manifest, following: Manifest, states: Mapping[str, UnitStatus]) -> UnitChanges:
    """The decision is `plan_units`'s; see there."""
    active = {name for name, status in states.items() if status.is_active}
    shipped = {name for name, status in states.items() if status.shipped}
    once = {name for name, status in states.items() if status.is_once}
    bound = {name: status.bound for name, status in states.items()}
    switch = plan_units(previous.units, following.units, active, shipped=shipped, once=once, bound=bound)
    return UnitChanges(
        stop=tuple(switch.stop),
        reload=tuple(switch.reload),
        restart=tuple(switch.restart),
        start=tuple(switch.start),
        renew=tuple(switch.renew),
        implied=tuple(switch.implied),
        along=tuple(switch.along),
        skipped=tuple(Action("unit", "skip", name, reason) for name, reason in switch.skip.items()),
        because=dict(switch.reasons),
    )


def unit_repairs(manifest: Manifest, states: Mapping[str, UnitStatus], system: str) -> Tuple[UnitChanges, Mapping[str, str]]:
    """What sets right all that is wrong with units, and the files of somebody's that are set aside for it, with the reason."""
    todo: Dict[str, List[str]] = {STOP: [], RESTART: [], START: [], REREAD: []}
    because: Dict[str, str] = {}
    foreign: Dict[str, str] = {}
    for name, fault in unit_faults({unit.name: unit for unit in manifest.units}, states, system):
        because.setdefault(name, f"declared: {fault.declared}; found: {fault.observed}")
        foreign.update(dict.fromkeys(fault.foreign, f"it is not deployer's, and changes {name}"))
        for verb in fault.repair:
            if name not in todo[verb]:
                todo[verb].append(name)
    start = [name for name in todo[START] if name not in todo[RESTART]]
    changes = UnitChanges(
        tuple(todo[STOP]), restart=tuple(todo[RESTART]), start=tuple(start), because=because, reread=tuple(todo[REREAD])
    )
    return changes, foreign


def planned_changes(actions: Iterable[Action]) -> UnitChanges:
    """What a plan says of units."""
    named: Dict[str, List[str]] = {}
    because: Dict[str, str] = {}
    for action in actions:
        if action.kind == "unit":
            named.setdefault(action.operation, []).append(action.target)
            because[action.target] = action.because
    stop, reload, restart, start, reread = (tuple(named.get(verb, ())) for verb in (STOP, "reload", RESTART, START, REREAD))
    return UnitChanges(stop, reload, restart, start, because=because, reread=reread)
