"""How long a host allows itself for an activation: the dead-man's switch counts by it, and so do controllers that wait for it."""

from __future__ import annotations

from dataclasses import dataclass

from deployer.formats.manifest import Manifest


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
    def of(cls, manifest: Manifest) -> Limits:
        """Stop, start, restart and reload are one job's time each, and for users once more; files, accounts and programs have
        a minute. Before that, each check is probed once; so are some at the end."""
        timing, once = manifest.timing, max((check.timeout + 1.0 for check in manifest.checks), default=0.0)
        switching = (8 if manifest.user_units else 4) * timing.unit_timeout + 60.0 + once
        checking = timing.check_deadline + timing.min_healthy_time + once + 5.0
        return cls(switching, checking, timing.confirm_timeout, timing.boot_timeout)
