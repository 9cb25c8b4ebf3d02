"""The profile: numbered generations, and the link `current` whose rename is the one moment of change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Final, Optional

from deployer.host.disk import Disk
from deployer.host.disk_entry import LINK
from deployer.host.paths import CURRENT, PROFILE

_GENERATION: Final = re.compile(r"([1-9][0-9]*)-link")


@dataclass(frozen=True)
class Current:
    """Which generation is current."""

    number: int = 0
    """0: none."""
    system: str = ""


class Profile:
    """The directory of a host's generations."""

    def __init__(self, disk: Disk) -> None:
        """Read and written through the door to the disk."""
        self._disk = disk

    def generations(self) -> Dict[int, str]:
        """Number to system, oldest first."""
        found: Dict[int, str] = {}
        for name in self._disk.names(PROFILE):
            match = _GENERATION.fullmatch(name)
            system = self.system_of(int(match.group(1))) if match else ""
            if match and system:
                found[int(match.group(1))] = system
        return dict(sorted(found.items()))

    def system_of(self, number: int) -> str:
        """The system of a generation; empty where there is none."""
        entry = self._disk.entry(f"{PROFILE}/{number}-link")
        return entry.target if entry is not None and entry.kind == LINK else ""

    def current(self) -> Current:
        """The current generation."""
        entry = self._disk.entry(CURRENT)
        match = _GENERATION.fullmatch(entry.target) if entry is not None else None
        if match is None:
            return Current()
        return Current(int(match.group(1)), self.system_of(int(match.group(1))))

    def next_number(self) -> int:
        """What a new generation is called."""
        return max(self.generations(), default=0) + 1

    def number_for(self, system: str, wanted: int = 0) -> int:
        """The generation that `system` becomes: the one asked for, the current one where it is the same system, or a new one."""
        if wanted and self.system_of(wanted) == system:
            return wanted
        current = self.current()
        return current.number if current.number and current.system == system else self.next_number()

    def add(self, number: int, system: str) -> None:
        """Make the link of a generation, where it is not there."""
        if self.system_of(number) != system:
            self._disk.link(f"{PROFILE}/{number}-link", system)

    def drop(self, number: int) -> None:
        """Remove the link of a generation."""
        self._disk.remove(f"{PROFILE}/{number}-link")

    def switch(self, number: int) -> None:
        """Make a generation current; 0: none."""
        if number == 0:
            self._disk.remove(CURRENT)
        elif self._target() != f"{number}-link":
            self._disk.link(CURRENT, f"{number}-link")
        else:
            self._disk.sweep(CURRENT)

    def _target(self) -> Optional[str]:
        entry = self._disk.entry(CURRENT)
        return entry.target if entry is not None else None
