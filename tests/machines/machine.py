"""A machine with a disk of its own, whose power can be cut: what its kernel had not written to its disk by then is lost."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from tests.lab.fleet import Fleet

NAME: Final = "machine"
"""As inventories and SSH know it."""
_TIMEOUT: Final = 600.0


class Machine(ABC):
    """One machine with a disk of its own, which is an overlay of another. It is on from the beginning."""

    name = NAME
    ssh_config: Path
    inventory: Path
    """How OpenSSH and controllers reach it, from inside `network`."""

    @abstractmethod
    def network(self) -> AbstractContextManager[None]:
        """Be where the machine is reached from."""

    @abstractmethod
    def cut(self) -> None:
        """The power goes; nothing happens where there is none."""

    @abstractmethod
    def boot(self) -> None:
        """Switch it on, and wait until its SSH server answers."""

    @abstractmethod
    def remove(self) -> None:
        """It is needed no more."""

    def ssh(self, command: str) -> list[str]:
        """The arguments that run a command on it, by OpenSSH: nothing of ours is in between."""
        return ["ssh", "-F", str(self.ssh_config), NAME, command]

    def run(self, command: str, *, stdin: bytes = b"") -> str:
        """What a command on it prints."""
        done = self.try_to_run(command, stdin=stdin)
        assert done.returncode == 0, (command, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout.decode(errors="replace").strip()

    def try_to_run(self, command: str, *, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """A command on it, however it ends."""
        return subprocess.run(self.ssh(command), check=False, capture_output=True, input=stdin, timeout=_TIMEOUT)


def fleet_of(machine: Machine, directory: Path) -> Fleet:
    """A controller of a machine. Of a lab it asks the inventory, and of a host the name: the machine has both."""
    both: Any = machine
    return Fleet(directory, both, both)


def overlay(disk: Path, below: Path, form: str) -> None:
    """Make a disk that is as the one below it, which must not change any more."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(below), "-F", form, str(disk)], check=True, timeout=60)


def bound(command: list[str]) -> list[str]:
    """A command that is killed when the thread that starts it ends, however it ends."""
    return ["setpriv", "--pdeathsig", "KILL", *command]
