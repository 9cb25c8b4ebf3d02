"""The ways to have machines that all go on from one."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tests.machines.image import Image
from tests.machines.machine import Machine
from tests.machines.virtual_machine import VirtualMachine


class Kind(Protocol):
    """One of the ways to have machines."""

    def first(self, directory: Path) -> Machine:
        """A machine that has just been booted for the first time."""
        ...

    def save(self, machine: Machine) -> None:
        """Stop a machine for good; from here on others can go on from where it stands."""
        ...

    def another(self, directory: Path) -> Machine:
        """One that goes on from there."""
        ...


class VirtualMachines:
    """Machines that all go on from one that was saved while it ran."""

    def __init__(self, image: Image) -> None:
        """That they are made from."""
        self._image = image
        self._disk = self._memory = Path()

    def first(self, directory: Path) -> VirtualMachine:
        """A machine that has just been booted for the first time."""
        machine = VirtualMachine(directory, self._image)
        machine.boot()
        return machine

    def save(self, machine: Machine) -> None:
        """Stop a machine for good; from here on others can go on from where it stands."""
        assert isinstance(machine, VirtualMachine)
        self._disk, self._memory = machine.disk, machine.save()

    def another(self, directory: Path) -> VirtualMachine:
        """One that goes on from there."""
        machine = VirtualMachine(directory, self._image, self._disk)
        machine.resume(self._memory)
        return machine
