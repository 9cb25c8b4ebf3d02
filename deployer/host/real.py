"""The machine that we run on."""

from __future__ import annotations

import sys
from pathlib import Path

from deployer.host.clock import Clock
from deployer.host.disk import Disk
from deployer.host.host_store import HostStore
from deployer.host.machine import Machine
from deployer.host.system_port import RealSystem
from deployer.host.systemd import Systemd


def real_machine(root: Path) -> Machine:
    """With the real disk, PID 1, store, kernel and clock."""
    # Without -B Python keeps the byte code of `__main__` beside it, in the store, before a line of it has run.
    interpreter = (sys.executable or "/usr/bin/python3", "-I", "-B")
    disk = Disk(root)
    return Machine(disk, Systemd(), HostStore(disk), RealSystem(), Clock(), interpreter)
