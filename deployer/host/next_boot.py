"""What the next boot is to bring, where that is not the generation that is current: one file, written in one step.

It is there in two cases. Somebody deployed with the goal `boot`: then the host tries that generation at its next boot, once.
Somebody deployed with the goal `test`: then the next boot brings back the generation that was the default before, unasked.
Where there is no file, the current generation is the default. While there is one, the boot unit is installed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Optional

from deployer.formats.frames import FrameRefused, parse_document
from deployer.formats.messages import CONFIRMED, ROLLED_BACK
from deployer.host.disk import Disk
from deployer.host.machine import Machine
from deployer.host.paths import NEXT_BOOT
from deployer.host.profile import Current
from deployer.host.standing import PRIVATE
from deployer.host.transaction import BACK, BOOT, TEST, Record


@dataclass(frozen=True)
class NextBoot:
    """One line of the future."""

    transaction: str
    """Under which the boot unit makes the change."""
    generation: int
    """0: the state before us."""
    system: str
    fresh: bool = False
    """Whether `generation` is a new number, which goes away where it is not tried, or is not good."""
    kind: str = BOOT
    """`boot`: tried once, and judged by its checks. `back`: brought back, without being judged; at the boot after, where this
    boot is cut off."""
    controller: str = ""
    epoch: int = 0
    token_sha256: str = ""
    """Where a controller waits to confirm it; empty: the host's own checks decide."""
    reboot: bool = False
    """Whether the host reboots once more to get back to what it had."""
    back_generation: int = -1
    """Of a `boot` during a test: what the boot brings back before it tries; otherwise -1."""
    back_system: str = ""

    @property
    def first(self) -> Optional[NextBoot]:
        """What is brought back before this is tried."""
        if self.kind != BOOT or self.back_generation < 0:
            return None
        return bring_back(self.transaction, self.back_generation, self.back_system, self.controller)


def read_next_boot(disk: Disk) -> Optional[NextBoot]:
    """What the next boot brings; None for what is current. A file that cannot be read brings nothing."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, FrameRefused, TypeError):
        document = parse_document(disk.read(NEXT_BOOT))
        known = {field.name for field in dataclasses.fields(NextBoot)}
        return NextBoot(**{name: value for name, value in document.items() if name in known})  # type: ignore[arg-type]
    return None


def write_next_boot(disk: Disk, following: NextBoot) -> None:
    """From here on the next boot brings it."""
    disk.write(NEXT_BOOT, json.dumps(dataclasses.asdict(following), sort_keys=True).encode() + b"\n", PRIVATE)


def default_generation(machine: Machine) -> Current:
    """What the next boot brings."""
    following = read_next_boot(machine.disk)
    return machine.profile.current() if following is None else Current(following.generation, following.system)


def settle_next_boot(disk: Disk, record: Record) -> None:
    """What a transaction that stands still means for the next boot. As often as it takes.

    It takes away only what it has tried, and what was there when it began: whatever came since is younger.
    """
    following = read_next_boot(disk)
    was_there = following is not None and following.transaction in (record.transaction, record.superseded)
    tried = following is not None and following.kind == BOOT and following.transaction == record.transaction
    if record.state == ROLLED_BACK and tried:
        disk.remove(NEXT_BOOT)
    if record.state != CONFIRMED or record.repair:
        return
    if record.goal == TEST and record.default_generation != record.next_generation:
        if following is None:
            back = bring_back(record.transaction, record.default_generation, record.default_system, record.controller)
            write_next_boot(disk, back)
        elif following.kind == BOOT and following.first is None:
            before = {"back_generation": record.previous_generation, "back_system": record.previous}
            write_next_boot(disk, dataclasses.replace(following, **before))  # type: ignore[arg-type]
    elif was_there:
        disk.remove(NEXT_BOOT)


def boot_runtime(machine: Machine, following: NextBoot) -> str:
    """What runs the boot unit until then: the runtime of what it brings, or else of what is current."""
    return machine.store.runtime(following.system) or machine.store.runtime(machine.profile.current().system)


def bring_back(transaction: str, generation: int, system: str, controller: str) -> NextBoot:
    """Under a name that follows from the transaction that made it necessary, so that it is the same each time."""
    name = hashlib.sha256(f"back from {transaction}".encode()).hexdigest()[:32]
    return NextBoot(name, generation, system, kind=BACK, controller=controller)
