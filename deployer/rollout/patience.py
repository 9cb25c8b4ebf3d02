"""How long a controller follows an activation before it gives a host up: longer than the host allows itself, whatever happens."""

from __future__ import annotations

from typing import Final

from deployer.formats.limits import Limits
from deployer.formats.manifest import CONFIRM_AGAIN, Manifest

SHUTDOWN: Final = 120.0
"""Seconds that a host is given to go down: systemd gives each unit 90."""
RECOVERY: Final = 120.0
"""Seconds that a host is given, beyond its own deadlines, to be found again after it has gone back."""


def patience(manifest: Manifest, *, reboot: bool = False) -> float:
    """Seconds until a host has made a change, or taken it back, and is reachable; with `reboot`, over two reboots: into the
    change, and out of it again."""
    limits = Limits.of(manifest)
    seconds = limits.total + limits.switching + RECOVERY
    if manifest.timing.on_reboot == CONFIRM_AGAIN:
        seconds += SHUTDOWN + limits.total_again
    if reboot:
        seconds += 2 * (SHUTDOWN + limits.booting) + limits.total_again
    return seconds
