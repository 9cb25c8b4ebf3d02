"""Sandboxes that never began: what is left where bubblewrap was killed while it made one.

Bubblewrap makes the first process of a sandbox, and that waits to be told that its users are set up. If bubblewrap is killed in
between, as it is when we are, nobody tells it: it holds nothing of the store, but it would wait for ever. No build is ever run by
such a process, so it may be ended by whoever finds it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Final

DESCRIPTOR: Final = "deployer-sandbox"
"""The name of the memory files that sandboxes of ours are given."""
_PROCESSES: Final = Path("/proc")
_BUBBLEWRAP: Final = "bwrap"


def end_orphans() -> int:
    """End this user's; returns how many there were."""
    ended = 0
    for process in _PROCESSES.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(int(process.name))
            try:
                # After the handle was opened: it can't be of another process that got the number since.
                if _is_orphan(process):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    ended += 1
            finally:
                os.close(handle)
    return ended


def _is_orphan(process: Path) -> bool:
    """The first process of its namespace, still bubblewrap's code, with a memory file of ours, whose bubblewrap is gone."""
    if process.stat().st_uid != os.geteuid() or (process / "comm").read_text().strip() != _BUBBLEWRAP:
        return False
    status = dict(line.partition(":")[::2] for line in (process / "status").read_text().splitlines())
    numbers = status.get("NSpid", "").split()
    if len(numbers) < 2 or numbers[-1] != "1":
        return False
    if (_PROCESSES / status["PPid"].strip() / "comm").read_text().strip() == _BUBBLEWRAP:
        return False
    return any(DESCRIPTOR in os.readlink(descriptor) for descriptor in (process / "fd").iterdir())
