"""Directories of a project that are packages themselves: workspaces, and dependencies on a path.

A lock file has two entries of each: a link in `node_modules`, and the directory that it leads to, in which the packages lie that
only this one has. The directory itself comes with the `source`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from deployer.packages.npm.lock_file import AGAIN, Entry, NpmLock

_MODULES: Final = "node_modules/"
_NAME: Final = r"(?:@[A-Za-z0-9~_-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]*"
_PLACE: Final = re.compile(rf"node_modules/{_NAME}(?:/node_modules/{_NAME})*")


def name_of(path: str) -> str:
    """The name of the package at a path of the project; of one that is a directory of the project, that path."""
    return path.rpartition(_MODULES)[2]


def is_directory(path: str) -> bool:
    """Whether what is locked at a path is a directory of the project, and not in `node_modules`."""
    return _MODULES not in f"{path}/"


def linked_directories(lock: NpmLock, links: Mapping[str, Entry], source: Path | None) -> Mapping[str, str]:
    """Path of each link in `node_modules` → the directory that it leads to. Raises `PackageInvalid` where `source` lacks that."""
    found: dict[str, str] = {}
    for path, entry in links.items():
        target = str(entry.get("resolved", ""))
        reason = f"{path!r} is a link to {target!r}, a directory of the project"
        if source is None:
            hint = "Name the project's directory by 'source', or publish it to a registry and depend on that."
            raise lock.refuse(reason, hint, key=path)
        if not _is_in(source, target):
            hint = f"Have it in {source} as package-lock.json names it, or publish it to a registry and depend on that."
            raise lock.refuse(f"{reason}, which is not in 'source'", hint, key=path)
        found[path] = target
    return found


def check_path(lock: NpmLock, path: str, directories: Collection[str]) -> None:
    """Refuse a path that is neither a place in `node_modules` nor a directory that a link leads to. Raises `PackageInvalid`."""
    if is_directory(path):
        if path not in directories:
            reason = f"{path!r} is a directory of the project, and no link leads to it"
            raise lock.refuse(reason, AGAIN, key=path)
        return
    above, _, _ = path.partition(_MODULES)
    if (above and above.rstrip("/") not in directories) or not _PLACE.fullmatch(path.removeprefix(above)):
        raise lock.refuse(f"{path!r} is no place in node_modules", AGAIN, key=path)


def _is_in(source: Path, target: str) -> bool:
    """Whether a directory comes with the source, which brings no links and no `node_modules`."""
    parts = target.split("/")
    if any(part in ("", ".", "..", "node_modules") for part in parts):
        return False
    places = [source.joinpath(*parts[: depth + 1]) for depth in range(len(parts))]
    return all(place.is_dir() and not place.is_symlink() for place in places)
