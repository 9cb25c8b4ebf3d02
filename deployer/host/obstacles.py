"""What keeps an entry of `/etc` from being made, changed or taken away, though the path itself is safe. Reads only.

A plan asks for it beforehand: what is found out while switching costs a rollback.
"""

from __future__ import annotations

import contextlib
import re
from typing import Dict, FrozenSet, Iterable, Mapping, Optional, Tuple

from deployer.errors import DeployerError
from deployer.formats.manifest import DIRECTORY, EtcEntry
from deployer.formats.messages import Problem
from deployer.host import disk_entry
from deployer.host.disk import Disk
from deployer.host.ledger import Ledger
from deployer.host.paths import ETC


def obstacles(disk: Disk, declared: Mapping[str, EtcEntry], ledger: Ledger) -> Dict[str, Problem]:
    """By path below `/etc`, for all that is declared or ours. Who asks knows whether anything is to be done to it."""
    search = _Search(disk, declared, ledger)
    found = {path: search.at(path) for path in sorted({*declared, *ledger.etc})}
    return {path: problem for path, problem in found.items() if problem is not None}


def file_obstacles(disk: Disk, files: Iterable[str]) -> Tuple[Problem, ...]:
    """Of files of the host's own that are to be written."""
    search = _Search(disk, {}, Ledger())
    found = (search.at(path[len(ETC) + 1 :]) for path in files)
    return tuple(dict.fromkeys(problem for problem in found if problem is not None))


def leftover_of(disk: Disk, path: str, declared: Mapping[str, EtcEntry], ledger: Ledger) -> str:
    """The first thing in a directory that is not ours, or stays; empty where all of it goes before an entry comes."""
    with contextlib.suppress(DeployerError):
        for name in disk.names(f"{ETC}/{path}"):
            below = f"{path}/{name}"
            owned = ledger.etc.get(below)
            is_ours = owned is not None and not owned.adopted and owned.original is None and below not in declared
            if not is_ours and f"{ETC}/{below}" not in ledger.directories:
                return f"{ETC}/{below}"
            if owned is None or owned.kind == DIRECTORY:
                deeper = leftover_of(disk, below, declared, ledger)
                if deeper:
                    return deeper
    return ""


class _Search:
    """One look at a host: directories above entries are looked at once."""

    def __init__(self, disk: Disk, declared: Mapping[str, EtcEntry], ledger: Ledger) -> None:
        self._disk, self._declared, self._ledger = disk, declared, ledger
        self._mounts = _mount_points(disk)
        self._above: Dict[str, Optional[Problem]] = {}

    def at(self, path: str) -> Optional[Problem]:
        """The first obstacle at a path or above it."""
        place = f"{ETC}/{path}"
        try:
            return self._on(place, path) or self._in(place.rpartition("/")[0])
        except (DeployerError, OSError):
            return None  # what is wrong with the path itself is told elsewhere

    def _on(self, place: str, path: str) -> Optional[Problem]:
        found, entry, owned = self._disk.entry(place), self._declared.get(path), self._ledger.etc.get(path)
        if found is None:
            return None
        wanted = entry or owned
        stays = found.kind == disk_entry.DIRECTORY and wanted is not None and wanted.kind == DIRECTORY
        if place in self._mounts and not stays:
            return Problem(place, "something is mounted there", "Unmount it, or do not declare the path.")
        if found.sealed:
            return _sealed(place, place, found.sealed)
        if found.names > 1 and (owned is None or owned.adopted) and entry is not None and entry.replace:
            message = f"the file that is to be kept has {found.names} names (hard links), and would return with one"
            return Problem(
                place, message, f"Give it a life of its own first: `cp -p {place} {place}.new && mv {place}.new {place}`."
            )
        if found.kind == disk_entry.DIRECTORY and entry is not None and entry.kind != DIRECTORY and owned is not None:
            left = leftover_of(self._disk, path, self._declared, self._ledger)
            if left:
                return Problem(
                    place, f"a {entry.kind} is to take a directory's place, and {left} is in it", f"Move {left} elsewhere."
                )
        return None

    def _in(self, directory: str) -> Optional[Problem]:
        """What is wrong with the nearest directory that is there."""
        if directory not in self._above:
            found = self._disk.entry(directory)
            if found is None:
                self._above[directory] = self._in(directory.rpartition("/")[0])
            elif found.sealed:
                self._above[directory] = _sealed(directory, directory, found.sealed)
            elif found.kind == disk_entry.DIRECTORY and self._disk.is_read_only(directory):
                self._above[directory] = Problem(directory, "it is on a read-only file system", "Remount it writable.")
            else:
                self._above[directory] = None
        return self._above[directory]


def _sealed(target: str, place: str, seal: str) -> Problem:
    flag = "i" if seal == "immutable" else "a"
    return Problem(target, f"it is {seal}: somebody ran `chattr +{flag}`", f"Run `chattr -{flag} {place}` there first.")


def _mount_points(disk: Disk) -> FrozenSet[str]:
    """A link or file cannot be put where something is mounted, not even a bind mount of the same file system."""
    try:
        lines = (disk.root / "proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return frozenset()
    return frozenset(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), line.split()[4]) for line in lines)
