"""Which generation this boot began with."""

from __future__ import annotations

from typing import Final

from deployer.host.disk_entry import LINK
from deployer.host.ledger import Metadata
from deployer.host.machine import Machine
from deployer.host.paths import BOOTED

_DIRECTORY: Final = Metadata(0o755, 0, 0)


def booted_generation(machine: Machine) -> int:
    """Its number; 0: none. Until something is noted, nothing has changed since."""
    entry = machine.disk.entry(BOOTED)
    if entry is None or entry.kind != LINK or not entry.target.isdecimal():
        return machine.profile.current().number
    return int(entry.target)


def note_booted(machine: Machine) -> None:
    """Before the first change of a boot. In memory, so that the next boot forgets it."""
    above = BOOTED.rpartition("/")[0]
    if machine.disk.entry(BOOTED) is None:
        if machine.disk.entry(above) is None:
            machine.disk.make_directory(above, _DIRECTORY)
        machine.disk.link(BOOTED, str(machine.profile.current().number))
