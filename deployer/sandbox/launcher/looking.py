"""Seeing what there is on this machine and in the tree."""

from __future__ import annotations

import os
import stat
from typing import Dict, Final, List, Optional

from deployer.sandbox.launcher.layout import ETC, OF_THE_TREE, Entry, Seen, machine_etc
from deployer.sandbox.launcher.spec import Spec

_LARGEST_COPY: Final = 1 << 20


def look(spec: Spec) -> Seen:
    """See what there is. Raises `OSError`."""
    top = tuple(_entries("/"))
    if not spec.root:
        return Seen(top)
    tree = spec.physical(spec.root)
    etc = machine_etc(top)
    machine: List[Entry] = []
    copies: Dict[str, bytes] = {}
    for entry in _entries(etc):
        real = os.path.realpath(f"{etc}/{entry.name}")
        if real.startswith(f"{etc}/"):
            machine.append(Entry(entry.name, entry.kind, ETC + real[len(etc) :]))
        elif real.split("/")[1] in OF_THE_TREE:
            content = _content(real)
            if content is not None:
                copies[entry.name] = content
        elif os.path.exists(real):
            machine.append(Entry(entry.name, entry.kind, real))
    return Seen(
        top,
        tuple(entry for entry in _entries(tree) if entry.kind != "directory" or os.listdir(f"{tree}/{entry.name}")),
        tuple(_entries(f"{tree}/etc")) if os.path.isdir(f"{tree}/etc") else (),
        tuple(machine),
        copies,
    )


def _entries(directory: str) -> List[Entry]:
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            kind = "link" if entry.is_symlink() else "directory" if entry.is_dir(follow_symlinks=False) else "file"
            found.append(Entry(entry.name, kind, os.readlink(entry.path) if kind == "link" else ""))
    return sorted(found, key=lambda entry: entry.name)


def _content(path: str) -> Optional[bytes]:
    """A small file's, if this user may read it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) or os.path.getsize(path) > _LARGEST_COPY:
            return None
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None
