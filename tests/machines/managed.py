"""A virtual machine, and the controller that deploys to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.lab.fleet import Fleet, Running
from tests.machines.machine import fleet_of
from tests.machines.virtual_machine import VirtualMachine

TIMING: Final = {"unit_timeout": 200, "check_deadline": 200, "confirm_timeout": 200}
"""Seconds, for the slowest machine."""
_ENDINGS: Final = ("host_confirmed", "host_rolled_back", "host_failed", "host_unchanged")


@dataclass(frozen=True)
class Managed:
    """One machine's controller. It is given all the time that it takes."""

    machine: VirtualMachine
    fleet: Fleet

    @classmethod
    def by(cls, machine: VirtualMachine, directory: Path) -> Self:
        """A controller that keeps what it has in a directory."""
        return cls(machine, fleet_of(machine, directory))

    def do(self, *arguments: str) -> Running:
        """A command of the controller's, to its end."""
        with self.fleet.start(*arguments) as running:
            running.wait()
        return running

    def deploy(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Deploy what a configuration declares; the event that tells how it ended for the host."""
        self.fleet.configure({"activation": TIMING, **configuration})
        seen = self.do("deploy", "--yes").seen
        endings = [event for event in seen if event.get("event") in _ENDINGS]
        assert endings, seen[-5:]
        return endings[-1]
