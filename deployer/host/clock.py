"""The host's time, behind one small interface."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

from deployer.host.transaction import Moment


class Clock:
    """Seconds that go on in suspend and never jump, and the boot they belong to."""

    def now(self) -> Moment:
        """This moment."""
        return Moment(time.clock_gettime(time.CLOCK_BOOTTIME), boot_id())

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def wall(self) -> str:
        """ISO 8601, UTC; for people."""
        return self.date(time.time())

    def date(self, seconds: float) -> str:
        """A moment of wall time in that form."""
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def boot_id() -> str:
    """Random for each boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
