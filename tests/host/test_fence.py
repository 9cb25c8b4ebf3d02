"""Nothing that a check's program has started outlives it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployer.formats.manifest import Check
from deployer.host import control_groups
from deployer.host.fence import fenced
from deployer.host.probes import Prober
from deployer.host.process import ProgramMissing, run_alone

FORKS = "(setsid /bin/sh -c 'trap \"\" TERM HUP; while :; do (sleep 77777 &) ; sleep 77777; done' &) ; echo $$ > {0}; {1}"


@pytest.fixture
def fences() -> None:
    with fenced() as one:
        if one is None:
            pytest.skip("no control group can be made here")


def alive(marker: str) -> list[int]:
    """Processes whose command line has a word."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal():
            try:
                words = (directory / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if marker.encode() in words:
                found.append(int(directory.name))
    return found


@pytest.mark.usefixtures("fences")
def test_a_check_that_forks_and_never_ends_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    script = FORKS.replace("77777", "71501").format(tmp_path / "pid", "sleep 71501")

    found = Prober().attempt(Check("it", "command", command=("/bin/sh", "-c", script), timeout=0.5))

    assert (found.healthy, "did not end within 0.5 s" in found.message) == (False, True)
    assert alive("71501") == []
    assert (tmp_path / "pid").exists()


@pytest.mark.usefixtures("fences")
def test_what_a_program_that_ended_left_behind_is_killed_too(tmp_path: Path) -> None:
    script = FORKS.replace("77777", "71502").format(tmp_path / "pid", "exit 3")

    ended = run_alone(["/bin/sh", "-c", script], timeout=10)

    assert ended.status == 3
    assert alive("71502") == []


@pytest.mark.usefixtures("fences")
def test_no_control_group_is_left_behind(tmp_path: Path) -> None:
    groups = list(control_groups.our_groups())

    run_alone(["/bin/true"], timeout=10)

    assert groups
    assert [path for group in groups for path in group.glob(f"check-{os.getpid()}-*")] == []


@pytest.mark.usefixtures("fences")
def test_the_memory_of_a_group_is_that_of_all_processes_in_it(tmp_path: Path) -> None:
    group = next(control_groups.our_groups())
    inside = group / f"memory-{os.getpid()}"
    inside.mkdir()
    script = "x = bytearray(64 << 20); print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (inside / "cgroup.procs").write_text(str(process.pid))
        root = next(
            root for _, root in control_groups.ROOTS if group.is_relative_to(root) and (Path(root) / "cgroup.procs").exists()
        )
        used = control_groups.memory_of(f"/{inside.relative_to(root)}")
        process.communicate(b"\n")
    inside.rmdir()

    assert used is not None
    assert 64 << 20 < used < 200 << 20
    assert control_groups.memory_of("/no/such") is None
    assert control_groups.memory_of("/") is None


def test_arguments_reach_the_program_as_they_are() -> None:
    words = ["a b", "$HOME", "", "--", "-c", "'\";\n"]

    ended = run_alone(["/usr/bin/printf", "%s|", *words], timeout=10)

    assert ended.stdout.decode() == "|".join([*words, ""])
    assert ended.arguments[0] == "/usr/bin/printf"


def test_a_program_that_is_not_there_or_no_program_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x")

    with pytest.raises(ProgramMissing, match="it is not installed"):
        run_alone(["/no/such"], timeout=1)
    with pytest.raises(ProgramMissing, match="it is not executable"):
        run_alone([str(tmp_path / "text")], timeout=1)


def test_without_control_groups_the_process_group_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "ROOTS", ())

    found = Prober().attempt(Check("it", "command", command=("/bin/sh", "-c", "sleep 71503 & wait"), timeout=0.3))

    assert "did not end within 0.3 s" in found.message
    deadline = time.monotonic() + 20
    while alive("71503") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert alive("71503") == []
