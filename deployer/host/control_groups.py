"""Where control groups are on this host, whichever version of them it has, and what their processes use."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Final, Iterator, List, Optional

ROOTS: Final = (("", "/sys/fs/cgroup"), ("", "/sys/fs/cgroup/unified"), ("name=systemd", "/sys/fs/cgroup/systemd"))
"""The controllers of a line of `/proc/self/cgroup`, and where that hierarchy is: version 2, both, version 1."""
_PROCESSES: Final = "cgroup.procs"
_SHARE: Final = re.compile(rb"^Pss:\s+([0-9]+) kB", re.MULTILINE)


def our_groups() -> Iterator[Path]:
    """The directories of the groups that this process is in, of hierarchies that only order processes."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    groups = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2)}
    for controllers, root in ROOTS:
        directory = Path(root) / groups.get(controllers, "/nowhere").lstrip("/")
        if (directory / _PROCESSES).is_file():
            yield directory


def members(directory: Path) -> List[int]:
    """The processes in a group, and in those below it. One that we can't see has the number 0, and is left out."""
    found: List[int] = []
    for place, _, _ in os.walk(directory):
        with contextlib.suppress(OSError):
            found += [int(line) for line in (Path(place) / _PROCESSES).read_text().split()]
    return [process for process in found if process > 0]


def memory_of(group: str) -> Optional[int]:
    """Bytes that a group's processes use together: of what they share, each its part. None where that can't be told.

    `group` is the path that systemd gives as `ControlGroup`.
    """
    for _, root in ROOTS:
        directory = Path(root) / group.lstrip("/")
        if group.strip("/") and (directory / _PROCESSES).is_file():
            shares = [_share(process) for process in members(directory)]
            return sum(share for share in shares if share is not None) if any(shares) else None
    return None


def _share(process: int) -> Optional[int]:
    try:
        found = _SHARE.search(Path(f"/proc/{process}/smaps_rollup").read_bytes())
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found is not None else None
