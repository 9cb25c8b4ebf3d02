"""All that systemd tells of a unit, and what it means."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Tuple

from deployer.host.machine import UnitStatus


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
