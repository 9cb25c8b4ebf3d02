"""What the undo log says of units: how they were before us, and which definitions systemd has. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Collection, Dict, Final, FrozenSet, Mapping, Sequence

from deployer.host.machine import UnitStatus

RELOADING: Final = "reloading"
"""systemd may have loaded the new definitions."""
NOT_RELOADED: Final = "not-reloaded"
"""It refused to."""
UNITS_BEFORE: Final = "units"
"""How units were, laid down before anything was done to them."""


@dataclass(frozen=True)
class UnitsBefore:
    """What was laid down before anything was done to units."""

    touched: FrozenSet[str] = frozenset()
    active: FrozenSet[str] = frozenset()
    failing: FrozenSet[str] = frozenset()
    runs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What names the run that each was in."""


def units_record(before: Mapping[str, UnitStatus], touched: Collection[str]) -> Dict[str, object]:
    """What `units_before` reads."""
    return {
        "op": UNITS_BEFORE,
        "active": sorted(name for name, status in before.items() if status.is_active),
        "failing": sorted(name for name, status in before.items() if status.is_crashing),
        "touched": sorted(touched),
        "runs": {name: before[name].run for name in sorted({*touched} & set(before)) if before[name].run},
    }


def units_before(records: Sequence[Mapping[str, Any]]) -> UnitsBefore:
    """Empty where nothing was laid down."""
    record: Mapping[str, Any] = next((record for record in records if record["op"] == UNITS_BEFORE), {})
    touched, active, failing = (frozenset(record.get(key, ())) for key in ("touched", "active", "failing"))
    return UnitsBefore(touched, active, failing, record.get("runs", {}))


def may_have_reloaded(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether systemd may have other definitions than before us: unless it refused each time that it was to read them."""
    said = [record["op"] for record in records]
    return said.count(RELOADING) > said.count(NOT_RELOADED)
