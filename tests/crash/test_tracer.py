"""The tracer puts a fault exactly where it is asked for: what the crash tests show rests on that."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.tracer import AFTER, BEFORE, Fault, traced

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the tracer knows the calls of x86-64")


def work(place: Path) -> Callable[[], int]:
    """Makes a directory, writes a file in it, has a program make another, and renames the first."""

    def do() -> int:
        os.mkdir(place / "d")
        descriptor = os.open(place / "d/file", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, b"text")
        os.fsync(descriptor)
        subprocess.run(["touch", place / "other"], check=True, stderr=subprocess.DEVNULL)
        os.rename(place / "d/file", place / "d/renamed")
        return 0

    return do


def left(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def test_it_sees_the_calls_that_change_the_disk_in_order_and_those_of_programs_too(tmp_path: Path) -> None:
    trace = traced(work(tmp_path))

    assert trace.status == 0
    assert [call.split()[0] for call in trace.calls] == ["mkdir", "openat", "write", "fsync", "openat", "utimensat", "rename"]
    assert trace.calls[-1] == f"rename {tmp_path}/d/file {tmp_path}/d/renamed"
    assert trace.programs == [4]


@pytest.mark.parametrize(
    ("number", "kill", "stands"),
    [
        (0, BEFORE, []),
        (0, AFTER, ["d"]),
        (1, BEFORE, ["d"]),
        (1, AFTER, ["d", "d/file"]),
        (4, BEFORE, ["d", "d/file"]),
        (4, AFTER, ["d", "d/file", "other"]),
        (6, BEFORE, ["d", "d/file", "other"]),
        (6, AFTER, ["d", "d/renamed", "other"]),
    ],
)
def test_it_kills_before_a_call_or_after_it_and_all_that_was_started_too(tmp_path: Path, number, kill, stands) -> None:
    trace = traced(work(tmp_path), Fault(number, kill=kill))

    assert trace.hit
    assert trace.status is None
    assert left(tmp_path) == stands


def test_a_call_that_it_lets_fail_does_not_happen(tmp_path: Path) -> None:
    trace = traced(lambda: _errno_of(work(tmp_path)), Fault(1, error=errno.ENOSPC))

    assert trace.hit
    assert trace.status == errno.ENOSPC
    assert left(tmp_path) == ["d"]


def _errno_of(do: Callable[[], int]) -> int:
    try:
        return do()
    except OSError as error:
        return error.errno or 0
