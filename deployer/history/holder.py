"""Who holds a lock or drives a rollout, in enough detail to tell later whether that process still lives."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Holder:
    """One process of one person on one machine."""

    who: str
    """`alice@laptop`."""
    pid: int
    process_started: str
    """The kernel's start time of the process: numbers of processes are used again."""
    boot_id: str
    """Of the machine: after a reboot none of its processes live."""
    machine: str

    @classmethod
    def me(cls) -> Holder:
        """This process."""
        machine = socket.gethostname()
        try:
            user = os.environ.get("SUDO_USER") or getpass.getuser()
        except (KeyError, OSError):
            user = str(os.getuid())
        return cls(f"{user}@{machine}", os.getpid(), _started(os.getpid()) or "", _boot_id(), machine)

    def is_dead(self) -> bool:
        """Whether it is certain that the process has ended. Of processes on other machines nothing is certain."""
        if self.machine != socket.gethostname():
            return False
        if self.boot_id != _boot_id():
            return True
        return _started(self.pid) != self.process_started

    def __str__(self) -> str:
        """`alice@laptop (process 4711)`."""
        return f"{self.who} (process {self.pid})"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """The kernel's start time of a process; None: there is no such process, or it only waits to be buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _without_proc(pid)
    return None if fields[0] in {b"Z", b"X"} else fields[19].decode()


def _without_proc(pid: int) -> str | None:
    """On systems that have no /proc: alive or not is all that can be known."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
