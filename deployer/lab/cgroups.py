"""A control group for each host.

Hosts that shared one would share the groups of their units too, for every systemd names them alike: stopping `ssh.service` on
one host would reach the others. Where this machine runs systemd, systemd makes the group (a transient unit with delegation);
elsewhere the lab makes it, in the hierarchies that systemd in the host will look for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deployer.errors import DeployerError
from deployer.lab.errors import CgroupsUnusable
from deployer.process import ProgramFailed, run

_PARENT: Final = "deployer-lab"
_KILL_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02


def has_systemd() -> bool:
    """Whether this machine was booted by systemd."""
    return Path("/run/systemd/system").is_dir()


async def hierarchies() -> tuple[Path, ...]:
    """The mount points of the hierarchies that systemd uses: version 2, and version 1 by the name `systemd`.

    Where there is none, version 2 is mounted, as every Debian does at boot; it stays mounted.
    """
    found = _mounted()
    if not found:
        try:
            await run(["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"])
        except ProgramFailed as failure:
            raise CgroupsUnusable(failure.stderr.strip()) from None
        found = _mounted()
    return found


def groups_of(mounts: Sequence[Path], lab: str, host: str) -> tuple[Path, ...]:
    """The control groups of one host, one in each hierarchy."""
    return tuple(mount / _PARENT / lab / host for mount in mounts)


def make(groups: Sequence[Path]) -> None:
    """Make the control groups. Raises `CgroupsUnusable`."""
    try:
        for group in groups:
            group.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CgroupsUnusable(f"{error.filename}: {error.strerror}") from None


def processes(group: Path) -> tuple[int, ...]:
    """All processes in a group and below it."""
    found: list[int] = []
    for directory, _, _ in os.walk(group):
        with contextlib.suppress(OSError):
            found += [int(line) for line in Path(directory, "cgroup.procs").read_text(encoding="utf-8").split()]
    return tuple(process for process in found if process > 0)


async def empty(group: Path) -> bool:
    """Kill all processes of a group; whether it is empty in the end."""
    deadline = time.monotonic() + _KILL_SECONDS
    while left := processes(group):
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


async def remove(group: Path, *, seconds: float = _KILL_SECONDS) -> bool:
    """Remove a group with all groups below it, and its parents where nothing else is in them; whether it is gone in the end.

    The kernel lists no process whose last thread has begun to end, and keeps the group busy until that thread has left it: on a
    busy machine that takes a while. `seconds` is how long that is waited for.
    """
    deadline = time.monotonic() + seconds
    while not _removed(group):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    for parent in (group.parent, group.parent.parent):
        with contextlib.suppress(OSError):
            os.rmdir(parent)
    return True


async def stop_unit(unit: str) -> bool:
    """Kill a transient unit of this machine's systemd; whether it is gone."""
    with contextlib.suppress(DeployerError):
        await run(["systemctl", "kill", "--signal=KILL", unit], check=False)
        await run(["systemctl", "stop", unit], check=False)
        await run(["systemctl", "reset-failed", unit], check=False)
        state = await run(["systemctl", "is-active", unit], check=False)
        return state.text != "active"
    return False


def _removed(group: Path) -> bool:
    """Try to remove a group, the groups below it first; whether it is gone."""
    for directory, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def _mounted() -> tuple[Path, ...]:
    found: list[Path] = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        point = Path(before.split(" ")[4])
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(point)
    return tuple(found)
