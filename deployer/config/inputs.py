"""What an evaluation looks at on the disk, so that it need not be repeated while nothing of that changes.

Files that are opened and directories that are listed are heard of by Python's audit events, whoever opens them, modules too.
Who only asks whether something is there says so by `look_at`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import deployer

_OWN: Final = str(Path(deployer.__file__).parent) + os.sep
_LISTED: Final = frozenset({"os.listdir", "os.scandir"})
_IMPURE: Final = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"})
"""What an evaluation must not do, and what can't be compared later if a module does it all the same."""
_BYTE_CODE: Final = ".pyc"


@dataclass(slots=True)
class Inputs:
    """What was looked at."""

    paths: set[str] = field(default_factory=set)
    """Absolute paths of files, of directories, and of what was looked for and is not there."""
    pure: bool = True
    """Whether that is all that the result can hang on."""

    def add(self, other: Inputs) -> None:
        """Have looked at what another has."""
        self.paths |= other.paths
        self.pure = self.pure and other.pure


class _Thread(threading.local):
    inputs: Inputs | None = None


_here: Final = _Thread()


@contextlib.contextmanager
def recorded(inputs: Inputs) -> Iterator[None]:
    """Add to `inputs` what this thread looks at until the end of the block, and to nothing else."""
    _listen()
    outer, _here.inputs = _here.inputs, inputs
    try:
        yield
    finally:
        _here.inputs = outer


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """What this thread looks at until the end of the block is told in another way."""
    outer, _here.inputs = _here.inputs, None
    try:
        yield
    finally:
        _here.inputs = outer


def look_at(path: str | Path) -> None:
    """Something hangs on whether there is anything at a path, and on what."""
    if _here.inputs is not None:
        _here.inputs.paths.add(os.path.abspath(path))


def look_at_tree(path: str | Path) -> None:
    """Something hangs on all that a directory holds, or on a file."""
    look_at(path)
    if _here.inputs is not None:
        for directory, _, files in os.walk(path):
            look_at(directory)
            for name in files:
                look_at(os.path.join(directory, name))


def state_of(path: str) -> str:
    """What is at a path, in a word that differs when an evaluation could: content and executable bit, names, or nothing."""
    try:
        link = f"link {os.readlink(path)} " if os.path.islink(path) else ""
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            return f"{link}directory " + hashlib.sha256("\0".join(_names(path)).encode("utf-8", "surrogateescape")).hexdigest()
        if not stat.S_ISREG(status.st_mode):
            return f"{link}special"
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"{link}{'program' if status.st_mode & stat.S_IXUSR else 'file'} {digest}"
    except OSError as error:
        return f"nothing {error.errno}"


def _names(directory: str) -> Iterator[str]:
    """Its entries; of links also where they lead, which nobody tells us when it is read."""
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        yield f"{name}\0{os.readlink(path) if os.path.islink(path) else ''}"


@cache
def _listen() -> None:
    sys.addaudithook(_heard)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    inputs = _here.inputs
    if inputs is None:
        return
    if event == "open" or event in _LISTED:
        path = arguments[0]
        if isinstance(path, int):
            inputs.pure = inputs.pure and event == "open"  # a file that somebody opened by its name before
            return
        _add(inputs, os.path.abspath(os.fsdecode(path if path is not None else ".")))
    elif event in _IMPURE:
        inputs.pure = False


def _add(inputs: Inputs, path: str) -> None:
    if path.startswith(_OWN):
        return
    if path.endswith(_BYTE_CODE):
        with contextlib.suppress(ValueError, NotImplementedError):
            inputs.paths.add(importlib.util.source_from_cache(path))
    elif f"{os.sep}__pycache__{os.sep}" not in path:
        inputs.paths.add(path)
