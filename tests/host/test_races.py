"""A second process swaps directories and links under our hands: nothing is ever written or removed outside."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployer.host.disk import Disk
from deployer.host.disk_walk import PathRefused
from deployer.host.etc import EtcWriter
from deployer.host.ledger import Metadata
from deployer.host.paths import BEFORE, KEPT, ORIGINALS, STATE_DIRECTORY, TRANSACTION, UNDO
from deployer.host.undo import UndoLog
from tests.host.world import real_file

SYSTEM = "/nix/store/system"
ENOUGH = 15
"""How often each of the two must have been met: the directory, and the link in its place."""
LONGEST = 120.0
"""Seconds until that must have happened: on a busy machine one of the two may long have no turn."""
SWAP = """
import itertools, os, sys
place, kept, trap = sys.argv[1:]
print("ready", flush=True)
for _ in itertools.count():
    os.rename(place, kept)
    os.symlink(trap, place)
    os.unlink(place)
    os.rename(kept, place)
"""
"""Puts a link in a directory's place and takes it back, as fast as it can."""
POINT = """
import itertools, os, sys
place, other, trap = sys.argv[1:]
print("ready", flush=True)
for _ in itertools.count():
    os.symlink(trap, other)
    os.rename(other, place)
"""
"""Keeps making the entry itself a link."""


@contextlib.contextmanager
def attacker(script: str, *arguments: Path) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def attempts() -> Iterator[None]:
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc/app/d").mkdir(parents=True)
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap/shadow").write_text("secret")
    disk = Disk(tmp_path)
    for path in (STATE_DIRECTORY, TRANSACTION, BEFORE, ORIGINALS, KEPT):
        disk.make_directory(path, Metadata(0o700, 0, 0))
    disk.write(UNDO, b"", Metadata(0o600, 0, 0))
    return tmp_path


def trap_of(root: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (path.read_text(), path.stat().st_ino) for path in (root / "trap").iterdir()}


def met(work: Callable[[], object]) -> str:
    """`done`, or why not; anything else is raised."""
    try:
        work()
    except PathRefused:
        return "refused"
    except (FileNotFoundError, NotADirectoryError):
        return "gone"
    return "done"


@pytest.mark.parametrize("operation", ["write", "link", "directory", "remove", "overwrite"])
def test_a_directory_that_is_swapped_for_a_link_leads_nowhere(root: Path, operation: str) -> None:
    disk, before = Disk(root), trap_of(root)
    path, data = "/etc/app/d/shadow", Metadata(0o644, 0, 0)
    work = {
        "write": lambda: disk.write(path, b"x", data),
        "link": lambda: disk.link(path, "/x"),
        "directory": lambda: disk.make_directory("/etc/app/d/new", data),
        "remove": lambda: disk.remove(path),
        "overwrite": lambda: disk.overwrite("/etc/app/d/there", 0, b"y"),
    }[operation]
    (root / "etc/app/d/there").write_text("x")
    counts = {"done": 0, "refused": 0, "gone": 0}

    with attacker(SWAP, root / "etc/app/d", root / "etc/app/kept", root / "trap"):
        for _ in attempts():
            counts[met(work)] += 1
            if min(counts["done"], counts["refused"]) >= ENOUGH:
                break

    assert min(counts["done"], counts["refused"]) >= ENOUGH
    assert trap_of(root) == before


def test_an_entry_that_is_swapped_for_a_link_is_replaced_and_not_followed(root: Path) -> None:
    place = root / "etc/app/conf"
    (root / SYSTEM.lstrip("/") / "etc/app").mkdir(parents=True)
    (root / SYSTEM.lstrip("/") / "etc/app/conf").write_text("ours")
    before = trap_of(root)
    writer = EtcWriter(Disk(root), UndoLog(Disk(root)), system=SYSTEM, tag="t", note=lambda action: None)
    owned = writer.put(real_file("app/conf", "ours"), None, [])

    with attacker(POINT, place, root / "etc/app/other", root / "trap/shadow"):
        replaced = 0
        for _ in attempts():
            replaced += place.is_symlink()
            with contextlib.suppress(OSError, PathRefused):  # a link is put there between our look and our read
                writer.put(real_file("app/conf", "ours"), owned, [])
            if replaced >= ENOUGH:
                break

    assert replaced >= ENOUGH
    assert trap_of(root) == before
    writer.put(real_file("app/conf", "ours"), owned, [])
    assert (place.is_symlink(), place.read_text()) == (False, "ours")


def test_what_lies_below_a_directory_that_others_may_write_is_refused(root: Path) -> None:
    disk = Disk(root)
    os.chmod(root / "etc/app", 0o1777)

    for work in (lambda: disk.write("/etc/app/d/x", b"x", Metadata(0o644, 0, 0)), lambda: disk.remove("/etc/app/d/x")):
        assert met(work) == "refused"
    assert list((root / "etc/app/d").iterdir()) == []
