"""How long a host allows itself for an activation: the dead-man's switch counts by it, and so do controllers that wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Optional

if TYPE_CHECKING:
    from deployer.formats.manifest import Manifest

RELOADING: Final = 75.0
"""Seconds that systemd is given to read its files again."""
RELOADING_FOR_USERS: Final = 20.0
"""The same for a user's systemd."""
_RELOADS: Final = 3
"""How often a switch has it do that at most: before services stop, again where that was in vain, and once all has changed."""


@dataclass(frozen=True)
class Limits:
    """How long each part of an activation may take, in seconds."""

    switching: float
    checking: float
    confirming: float
    booting: float
    """From the boot unit until the default target stands."""

    @property
    def total(self) -> float:
        """Until the dead-man's switch must act."""
        return self.switching + self.checking + self.confirming + 15.0

    @property
    def total_again(self) -> float:
        """The same after a restart."""
        return self.booting + self.checking + self.confirming + 15.0

    @classmethod
    def of(cls, manifest: Manifest, previous: Optional[Manifest] = None) -> Limits:
        """Stop, start, restart and reload are one job's time each, and for users once more; files, accounts and programs have
        a minute. Where there are units, systemd reads its files besides. Before that, each check is probed once; so are some
        at the end.

        What is stopped has the time that the `previous` generation gives it. A controller does not know that one, and waits
        for as long again as it takes by the new one.
        """
        timing, once = manifest.timing, max((check.timeout + 1.0 for check in manifest.checks), default=0.0)
        has_stops = previous is not None and bool(previous.units or previous.user_units)
        known = [manifest, previous] if previous is not None and has_stops else [manifest]
        job = max(one.timing.unit_timeout for one in known)
        has_users = any(one.user_units for one in known)
        switching = (8 if has_users else 4) * job + 60.0 + once + _RELOADS * RELOADING
        switching += RELOADING_FOR_USERS if has_users else 0.0
        checking = timing.check_deadline + timing.min_healthy_time + once + 5.0
        return cls(switching, checking, timing.confirm_timeout, timing.boot_timeout)
