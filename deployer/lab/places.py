"""Where the lab keeps what: one directory a lab, one cache of bases for all."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from deployer.lab.errors import LabNameRefused

STATE: Final = Path(os.environ.get("DEPLOYER_LAB_STATE", "/var/lib/deployer-lab"))
"""A directory a lab: its record, its keys, its hosts' disks, and the files that controllers read."""
BASES: Final = Path(os.environ.get("DEPLOYER_LAB_BASES", "/var/cache/deployer-lab/bases"))
"""Debian trees that hosts are overlays of."""
DEFAULT_LAB: Final = "lab"

_NAME: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")


def check_name(name: str) -> str:
    """Give the name back if it can name a lab or a host. Raises `LabNameRefused`."""
    if not _NAME.fullmatch(name):
        raise LabNameRefused(name)
    return name


def directory_of(lab: str) -> Path:
    """The directory of one lab."""
    return STATE / check_name(lab)


def known_labs() -> tuple[str, ...]:
    """The names of all labs of this machine, also of those half made."""
    if not STATE.is_dir():
        return ()
    return tuple(sorted(entry.name for entry in STATE.iterdir() if entry.is_dir() and _NAME.fullmatch(entry.name)))
