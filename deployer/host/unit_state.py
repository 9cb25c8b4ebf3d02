"""All that systemd tells of a unit, and what it means. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final, Tuple

from deployer.host.machine import UnitStatus

PROPERTIES: Final = (
    "Id LoadState ActiveState SubState Result NRestarts MainPID ExecMainStatus Type RemainAfterExit ConditionResult "
    "ConditionTimestampMonotonic ActiveEnterTimestampMonotonic FragmentPath DropInPaths UnitFileState NeedDaemonReload Job "
    "MemoryCurrent ControlGroup InvocationID RequiredBy RequisiteOf BoundBy ConsistsOf PropagatesStopTo"
)
"""What `state_of` reads."""
_BONDS: Final = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "PropagatesStopTo")


@dataclass(frozen=True)
class UnitState(UnitStatus):
    """All that we want to know of a unit."""

    result: str = "success"
    n_restarts: int = 0
    main_pid: int = 0
    exit_status: int = 0
    """Of the main process, where it has ended."""
    type: str = ""
    """Of a service."""
    remains: bool = False
    """Whether it stays active once its processes have ended."""
    condition: bool = True
    """Whether its conditions held when it was last started; systemd forgets that of a unit that nothing wants."""
    drop_ins: Tuple[str, ...] = ()
    enabled: str = ""
    """`enabled`, `static`, `masked` …"""
    active_since: float = 0.0
    """Seconds of CLOCK_MONOTONIC."""
    needs_reload: bool = False
    """Whether its files have changed since they were read."""
    job: int = 0
    """0: none."""
    memory: int = dataclasses.field(default=-1, compare=False)
    """Bytes that its processes use now; -1: systemd does not count."""
    control_group: str = ""
    """The path of its control group; empty where it has none."""

    @property
    def is_crashing(self) -> bool:
        """Whether it failed, or failed and waits to be started again."""
        return self.active == "failed" or (self.sub == "auto-restart" and (self.result != "success" or self.exit_status != 0))

    @property
    def is_waiting(self) -> bool:
        """Whether it does not run because its conditions did not hold when it was last started."""
        return self.load == "loaded" and self.active == "inactive" and not self.condition

    @property
    def is_once(self) -> bool:
        """Whether it is done, and no longer active, once its work has ended."""
        return self.type == "oneshot" and not self.remains

    @property
    def is_changing(self) -> bool:
        """Whether systemd starts, stops or reloads it right now, or is to."""
        return bool(self.job) or super().is_changing

    @property
    def is_done(self) -> bool:
        """Whether it does not run because there is nothing (left) for it to do."""
        done = self.load == "loaded" and self.active == "inactive" and self.is_once and self.result == "success"
        return done or self.is_waiting

    def __str__(self) -> str:
        """For people."""
        details = [self.sub]
        if self.result != "success":
            details.append(f"result {self.result}")
        if self.exit_status:
            details.append(f"status {self.exit_status}")
        return f"{self.active} ({', '.join(details)})"


def state_of(said: str, *, shipped: bool) -> UnitState:
    """What `systemctl show` says of one unit, a line a property, as far as it says anything."""
    values = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    return UnitState(
        load=values.get("LoadState", "not-found"),
        active=values.get("ActiveState", "inactive"),
        sub=values.get("SubState", "dead"),
        result=values.get("Result") or "success",
        n_restarts=_number(values.get("NRestarts")),
        main_pid=_number(values.get("MainPID")),
        exit_status=_number(values.get("ExecMainStatus")),
        type=values.get("Type", ""),
        remains=values.get("RemainAfterExit") == "yes",
        condition=values.get("ConditionResult") != "no" or not _number(values.get("ConditionTimestampMonotonic")),
        fragment=values.get("FragmentPath", ""),
        drop_ins=tuple(values.get("DropInPaths", "").split()),
        enabled=values.get("UnitFileState", ""),
        active_since=_number(values.get("ActiveEnterTimestampMonotonic")) / 1e6,
        needs_reload=values.get("NeedDaemonReload") == "yes",
        job=_number(values.get("Job")),
        memory=_memory(values.get("MemoryCurrent")),
        control_group=values.get("ControlGroup", ""),
        shipped=shipped,
        run=values.get("InvocationID", ""),
        bound=tuple(dict.fromkeys(other for key in _BONDS for other in values.get(key, "").split())),
    )


def _memory(text: object) -> int:
    """systemd says `[not set]`, or the largest number there is, where it does not count."""
    used = _number(text) if isinstance(text, str) and text.isdecimal() else -1
    return used if used < (1 << 63) else -1


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() else 0
