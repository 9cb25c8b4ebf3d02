"""What a change of generation means for units, in the form in which the transaction does it and undoes it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import FrozenSet, Mapping, Tuple

from deployer.formats.manifest import Manifest
from deployer.formats.messages import Action
from deployer.host.machine import UnitStatus
from deployer.host.unit_switch import plan_units


@dataclass(frozen=True)
class UnitChanges:
    """Which units are stopped before anything else changes, and which are reloaded, restarted and started after."""

    stop: Tuple[str, ...] = ()
    reload: Tuple[str, ...] = ()
    restart: Tuple[str, ...] = ()
    start: Tuple[str, ...] = ()
    skipped: Tuple[Action, ...] = ()
    because: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def touched(self) -> FrozenSet[str]:
        """All whose state the change may alter."""
        return frozenset((*self.stop, *self.reload, *self.restart, *self.start))


def unit_changes(previous: Manifest, following: Manifest, states: Mapping[str, UnitStatus]) -> UnitChanges:
    """The decision is `plan_units`'s; see there."""
    active = {name for name, status in states.items() if status.is_active}
    shipped = {name for name, status in states.items() if status.shipped}
    switch = plan_units(previous.units, following.units, active, shipped=shipped)
    return UnitChanges(
        stop=tuple(switch.stop),
        reload=tuple(switch.reload),
        restart=tuple(switch.restart),
        start=tuple(switch.start),
        skipped=tuple(Action("unit", "skip", name, reason) for name, reason in switch.skip.items()),
        because=dict(switch.reasons),
    )
