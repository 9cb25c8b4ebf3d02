"""Comparing a second build with the first: `--check`."""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from deployer.build.errors import NothingToCheck, OutputsDiffer
from deployer.build.graph import Node
from deployer.build.outputs import Examined
from deployer.errors import DeployerError
from deployer.process import ProgramMissing, ProgramTimedOut, run
from deployer.store import Store
from deployer.store.trees import remove

CHECK: Final = ".check"
"""What is put behind an output's path where a second build's is kept."""
_DIFFOSCOPE: Final = "diffoscope"
_DIFFOSCOPE_TIMEOUT: Final = 600.0
_MOST_LINES: Final = 100


def demand_first_build(store: Store, node: Node) -> None:
    """Raises `NothingToCheck` where there is nothing to compare with."""
    if not store.valid(node.outputs.values()):
        raise NothingToCheck(str(node.path), tuple(map(str, node.outputs.values())))


def keep_different(store: Store, second: Mapping[str, Examined]) -> dict[str, Path]:
    """Move the outputs that are not equal to the valid ones beside these. Returns where they are, by path.

    Outputs that are not valid, because only others were fetched, have nothing to be compared with.
    """
    kept: dict[str, Path] = {}
    for item in second.values():
        path = item.info.path
        if not store.is_valid(path) or store.query(path).nar_hash == item.info.nar_hash:
            continue
        kept[path] = store.physical(path).with_name(Path(path).name + CHECK)
        remove(str(kept[path]))
        _move(item.physical, kept[path])
    return kept


async def differences(store: Store, node: Node, kept: Mapping[str, Path]) -> list[DeployerError]:
    """One error for each output that differs, with what differs in it."""
    errors: list[DeployerError] = []
    for path, second in kept.items():
        lines = await _described(store.physical(path), second)
        errors.append(OutputsDiffer(str(node.path), path, str(second), tuple(f"    {line}" for line in lines)))
    return errors


async def _described(first: Path, second: Path) -> list[str]:
    if shutil.which(_DIFFOSCOPE):
        try:
            done = await run([_DIFFOSCOPE, "--", first, second], timeout=_DIFFOSCOPE_TIMEOUT, check=False)
            if lines := done.text.splitlines():
                more = [f"… and {len(lines) - _MOST_LINES} lines more"] if len(lines) > _MOST_LINES else []
                return lines[:_MOST_LINES] + more
        except (ProgramMissing, ProgramTimedOut):
            pass
    found = list(different_files(first, second))
    more = [f"… and {len(found) - _MOST_LINES} more"] if len(found) > _MOST_LINES else []
    return found[:_MOST_LINES] + more


def different_files(first: Path, second: Path) -> Iterator[str]:
    """What differs between two trees with a store's metadata, one line a file."""
    todo = [""]
    while todo:
        name = todo.pop()
        ours, theirs = first / name, second / name
        kinds = [_kind(ours), _kind(theirs)]
        if kinds[0] != kinds[1]:
            yield f"{name or '.'}: {kinds[0]}, then {kinds[1]}"
        elif kinds[0] == "directory":
            names = {*os.listdir(ours), *os.listdir(theirs)}
            todo.extend(os.path.join(name, child) for child in sorted(names, reverse=True))
        elif kinds[0] == "link":
            if os.readlink(ours) != os.readlink(theirs):
                yield f"{name or '.'}: leads to {os.readlink(ours)}, then to {os.readlink(theirs)}"
        elif not filecmp.cmp(ours, theirs, shallow=False):
            yield f"{name or '.'}: other bytes ({ours.stat().st_size}, then {theirs.stat().st_size})"


def _kind(path: Path) -> str:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return "nothing"
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISLNK(mode):
        return "link"
    return "program" if mode & stat.S_IXUSR else "file"


def _move(source: Path, destination: Path) -> None:
    # The parent entry of a directory can only be changed while the directory is writable.
    is_directory = source.is_dir() and not source.is_symlink()
    if is_directory:
        source.chmod(0o755)
    source.rename(destination)
    if is_directory:
        destination.chmod(0o555)
