"""Writing deployer.lock: what every package of kind `debian` comes to today."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployer.errors import Place, near, raise_all
from deployer.packages.errors import PackageUnknown
from deployer.packages.loading import read_package_file
from deployer.packages.lock_changes import LockChange, lock_changes
from deployer.packages.lockfile import LOCK_NAME, Lock
from deployer.packages.mirrors import Mirror, find_mirrors
from deployer.packages.package_set import PackageSet
from deployer.packages.solve import solve


@dataclass(frozen=True, slots=True)
class Locking:
    """A new lock, and what it changes."""

    lock: Lock
    changes: tuple[LockChange, ...]


async def lock_packages(
    packages: Path, *, only: Collection[str] = (), mirrors: Sequence[Mirror] | None = None, write: bool = True
) -> Locking:
    """Solve the `debian` packages of packages.yaml, and, where `write` holds, write the lock beside it.

    With `only`, the others keep what they are pinned to, where that still is what they ask for.
    Raises `PackageUnknown`, `MirrorsUnknown`, `IndexRefused`, `PackageInvalid`, `LockInvalid`, and errors of running apt.
    """
    file = packages.with_name(LOCK_NAME)
    content = read_package_file(packages)
    requests = PackageSet(content.recipes, overlays=content.overlays).debian_requests()
    names = [request.name for request in requests]
    raise_all([PackageUnknown(name, near(name, names), Place(str(packages))) for name in only if name not in names])
    old = Lock.read(file)
    kept = {
        request.name: old.debian[request.name]
        for request in requests
        if only and request.name not in only and request.name in old.debian and old.debian[request.name].answers(request)
    }
    stale = [request for request in requests if request.name not in kept]
    solved = await solve(stale, mirrors or find_mirrors()) if stale else {}
    lock = Lock({**kept, **solved})
    if write:
        temporary = file.with_name(f".{file.name}.new")
        temporary.write_text(str(lock))
        os.replace(temporary, file)
    return Locking(lock, lock_changes(old, lock))
