"""A lab host with a file system of its own, on a disk that can lose its power.

The disk is a file that qemu's storage daemon serves, and this machine's kernel mounts. For the file system, killing the daemon
is a power cut: whatever was only in the kernel's memory cannot be written any more. The host is killed with it, and boots again
from what the disk holds. It boots in a second, not in half a minute as an emulated machine does: many more moments can be tried.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from deployer.lab import crash, down, inside, start, up
from deployer.lab.disks import personalise, unmount
from deployer.lab.places import directory_of
from deployer.lab.record import MOUNT, Record
from tests.machines.image import FOR_VIRTUAL_MACHINES, Image
from tests.machines.machine import NAME, Machine, bound, overlay

_SECONDS: Final = 60.0
_BOOT_SECONDS: Final = 300.0
_NUMBERS: Final = itertools.count(1)


class LabMachine(Machine):
    """A lab of one host."""

    def __init__(self, image: Image, disk: Path) -> None:
        """It is off, and has this disk."""
        self._lab_name, self.disk = f"power-{os.getpid()}-{next(_NUMBERS)}", disk
        directory = directory_of(self._lab_name)
        (directory / "host-keys").mkdir(parents=True)
        for key, place in (("key", "key"), ("host-key", f"host-keys/{NAME}")):
            for suffix in ("", ".pub"):
                shutil.copy(f"{image.directory / key}{suffix}", f"{directory / place}{suffix}")
        self._served = directory / "served"
        self._served.touch()
        Record(directory / "record").note(MOUNT, self._served)  # before the host's own, which needs it: they are undone backwards
        self._lab = asyncio.run(up(self._lab_name, hosts=[NAME], owner=os.getpid()))
        self._host = self._lab.host(NAME)
        self._root = self._host.disk / "root"
        self.ssh_config, self.inventory = self._lab.ssh_config, self._lab.inventory
        self._server: subprocess.Popen[bytes] | None = None
        asyncio.run(crash(self._host))
        asyncio.run(unmount(self._root))

    def network(self) -> AbstractContextManager[None]:
        """That of the lab."""
        return inside(self._lab)

    def boot(self) -> None:
        """Switch it on, and wait until systemd on it says that it runs."""
        self._plug()
        asyncio.run(start(self._host, timeout=_BOOT_SECONDS))

    def cut(self) -> None:
        """The power goes; nothing happens where there is none."""
        if self._server is None:
            return
        self._server.kill()
        self._server.wait()
        self._server = None
        asyncio.run(crash(self._host))
        for place in (self._root, self._served):
            subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=_SECONDS)

    def make_its_own(self) -> None:
        """Fit the disk's files to the lab, instead of a virtual machine."""
        self._plug()
        for path in FOR_VIRTUAL_MACHINES:
            (self._root / path).unlink()
        key = self._lab.identity_file.with_suffix(".pub").read_text(encoding="utf-8")
        host = self._host
        personalise(self._root, name=NAME, address=host.address, authorized_key=key, host_key=host.host_key)
        asyncio.run(start(host, timeout=_BOOT_SECONDS))

    def switch_off(self) -> None:
        """In order, so that all of the disk is written."""
        assert self._server is not None
        asyncio.run(crash(self._host))
        subprocess.run(["umount", str(self._root)], check=True, timeout=_SECONDS)
        self._server.terminate()
        self._server.wait(_SECONDS)
        self._server = None

    def remove(self) -> None:
        """The lab goes, and all in it."""
        self.cut()
        asyncio.run(down(self._lab_name))

    def _plug(self) -> None:
        """Have the disk served, and mounted."""
        assert self._server is None, "it is on"
        self._server = subprocess.Popen(
            bound(
                [
                    "qemu-storage-daemon",
                    *("--blockdev", f"driver=file,filename={self.disk},node-name=file"),
                    *("--blockdev", "driver=qcow2,file=file,node-name=disk"),
                    *("--export", f"fuse,id=export,node-name=disk,mountpoint={self._served},writable=on,allow-other=off"),
                ]
            ),
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _SECONDS
        while self._served.stat().st_size == 0:
            assert self._server.poll() is None, "the storage daemon ended"
            assert time.monotonic() < deadline, "the disk is not served"
            time.sleep(0.02)
        subprocess.run(["mount", "-t", "ext4", "-o", "loop", str(self._served), str(self._root)], check=True, timeout=_SECONDS)


class LabMachines:
    """Lab hosts that all begin with the disk of one that was switched off."""

    def __init__(self, image: Image) -> None:
        """That they are made from."""
        self._image, self._disk = image, Path()

    def first(self, directory: Path) -> LabMachine:
        """A machine that has just been booted for the first time."""
        directory.mkdir(parents=True)
        overlay(directory / "disk", self._image.disk, "raw")
        machine = LabMachine(self._image, directory / "disk")
        machine.make_its_own()
        return machine

    def save(self, machine: Machine) -> None:
        """Stop a machine for good; from here on others can begin with its disk."""
        assert isinstance(machine, LabMachine)
        machine.switch_off()
        self._disk = machine.disk

    def another(self, directory: Path) -> LabMachine:
        """One that begins with it."""
        directory.mkdir(parents=True)
        overlay(directory / "disk", self._disk, "qcow2")
        machine = LabMachine(self._image, directory / "disk")
        machine.boot()
        return machine
