"""Writes deployer/packages/host_python.lock: what python3 of Debian 12 comes to today, without what we do not take from it."""

from __future__ import annotations

import asyncio
import dataclasses

from deployer.packages.debian.solving import solve
from deployer.packages.interpreter import LOCK_FILE, MACHINES, PACKAGES, SUITES, recipe_name
from deployer.packages.lockfile import DebianRequest, Lock
from deployer.packages.mirrors import find_mirrors

TAKEN = {
    *("libc6", "libexpat1", "libffi8", "libgcc-s1", "libsqlite3-0", "libssl3", "zlib1g"),
    *("libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal"),
}


async def main() -> None:
    """Solve, choose, write."""
    requests = [DebianRequest(recipe_name(machine), SUITES, PACKAGES, debian) for machine, debian in MACHINES.items()]
    solved = await solve(requests, find_mirrors())
    chosen = {
        name: dataclasses.replace(entry, debs=tuple(deb for deb in entry.debs if deb.name in TAKEN))
        for name, entry in solved.items()
    }
    for name, entry in chosen.items():
        missing = TAKEN - {deb.name for deb in entry.debs}
        assert not missing, f"{name} lacks {missing}"
    LOCK_FILE.write_text(str(Lock(chosen)))


asyncio.run(main())
