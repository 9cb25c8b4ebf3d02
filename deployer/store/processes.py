"""Paths that running processes execute, map, have open, are in, or name in their environment: roots that nobody made."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Final, Iterator, Tuple

from deployer.store.store import Store

_PROCESSES: Final = Path("/proc")


def in_use(store: Store) -> Iterator[Tuple[str, str]]:
    """Where in `/proc` each path is found that a process needs. What this user may not see is left out."""
    # A sandbox shows its files at the logical place.
    places = "|".join(sorted({re.escape(str(store.layout.store)), re.escape(store.store_dir)}))
    pattern = re.compile(f"(?:{places})/([0-9a-z]{{32}}-[0-9a-zA-Z+._?=-]+)".encode())
    for process in _PROCESSES.glob("[0-9]*"):
        for origin, text in _texts(process):
            for name in sorted({match[1] for match in pattern.finditer(text)}):
                yield str(origin), f"{store.store_dir}/{name.decode()}"


def _texts(process: Path) -> Iterator[Tuple[Path, bytes]]:
    for name in ("exe", "cwd", "root"):
        with contextlib.suppress(OSError):
            yield process / name, os.fsencode(os.readlink(process / name))
    for name in ("maps", "environ"):
        with contextlib.suppress(OSError):
            yield process / name, (process / name).read_bytes()
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(process / "fd"):
            with contextlib.suppress(OSError):
                yield process / "fd" / descriptor, os.fsencode(os.readlink(process / "fd" / descriptor))
