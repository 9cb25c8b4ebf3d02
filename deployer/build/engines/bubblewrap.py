"""This machine's bubblewrap as a store path that another machine of the same kind can run: itself, its libraries, its loader."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from deployer.build.sandboxes import BUBBLEWRAP
from deployer.formats import StorePath
from deployer.formats.building import BUBBLEWRAP_TREE
from deployer.process import ProgramMissing, run
from deployer.store import Store

_NAME: Final = "bubblewrap"
_LIBRARY: Final = re.compile(r"^\s+\S+ => (/\S+) \(0x", re.MULTILINE)
_LOADER: Final = re.compile(rb"/lib(?:64|32|)/ld-[A-Za-z0-9_.-]+\.so[0-9.]*\0")
_ENOUGH: Final = 1 << 16
"""Bytes of a program in which the name of its loader stands."""


async def bubblewrap_tree(store: Store) -> StorePath:
    """Have it in the store. Raises `ProgramMissing` where this machine has none, or has one that runs by itself alone."""
    program = shutil.which(BUBBLEWRAP)
    loader = _loader(program) if program else None
    if program is None or loader is None:
        raise ProgramMissing(_NAME)
    listed = await run((loader, "--list", program))
    libraries = [*_LIBRARY.findall(listed.text)]
    with tempfile.TemporaryDirectory(prefix="deployer-bubblewrap-") as directory:
        for source, place in zip((loader, program), (BUBBLEWRAP_TREE[0], BUBBLEWRAP_TREE[2]), strict=True):
            _copy(source, Path(directory, place), executable=True)
        for library in libraries:
            _copy(library, Path(directory, BUBBLEWRAP_TREE[1], Path(library).name), executable=False)
        return store.add_tree(_NAME, Path(directory))


def _loader(program: str) -> str | None:
    with Path(program).open("rb") as file:
        named = _LOADER.search(file.read(_ENOUGH))
    return named[0].rstrip(b"\0").decode() if named else None


def _copy(source: str, destination: Path, *, executable: bool) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, destination)
    destination.chmod(0o755 if executable else 0o644)
