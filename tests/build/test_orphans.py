"""Sandboxes whose bubblewrap was killed before they began are ended by the next build, and no others."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployer.sandbox.cells import Cells
from deployer.sandbox.orphans import DESCRIPTOR, _is_orphan, end_orphans

START = """
import os, sys
descriptor = os.memfd_create(sys.argv[1])
os.set_inheritable(descriptor, True)
os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--pid", "--fork", sys.argv[2], "60"])
"""


def wait_for(found):
    deadline = time.monotonic() + 10
    while not (answer := found()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer


def child_of(parent, name):
    """The number of a process's child, once that has this name."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if Path(f"/proc/{child}/comm").read_text().strip() == name:
            return int(child)
    return 0


@pytest.fixture
def waiting(tmp_path):
    """Starts a process that looks like one that waits in a new sandbox: its number, and that of what made it."""
    started = []

    def start(name="bwrap", descriptor=DESCRIPTOR):
        program = tmp_path / name
        shutil.copy("/bin/sleep", program)
        maker = subprocess.Popen([sys.executable, "-c", START, descriptor, str(program)], start_new_session=True)
        number = wait_for(lambda: child_of(maker.pid, name))
        started.append((number, maker))
        return number, maker

    yield start
    for number, maker in started:
        for end in (lambda number=number: os.kill(number, signal.SIGKILL), maker.kill):
            try:
                end()
            except ProcessLookupError:
                pass
        maker.wait()


def exists(number):
    return os.path.exists(f"/proc/{number}/comm")


async def test_the_next_build_with_bubblewrap_ends_what_nobody_will_ever_let_begin(workshop, waiting, monkeypatch):
    async def refused(_):
        return "not here"

    monkeypatch.setattr(Cells, "open", refused)
    number, maker = waiting()
    maker.kill()
    maker.wait()
    assert exists(number)

    await workshop.realise(workshop.script("any", "echo > $out"))

    wait_for(lambda: not exists(number))


@pytest.mark.parametrize(("name", "descriptor"), [("sleeper", DESCRIPTOR), ("bwrap", "another")])
def test_what_is_not_ours_is_left_alone(waiting, name, descriptor):
    number, maker = waiting(name, descriptor)
    maker.kill()
    maker.wait()

    end_orphans()

    assert exists(number)


def test_a_sandbox_whose_bubblewrap_lives_is_left_alone(tmp_path, monkeypatch):
    """As `/proc` shows it, with the parent's name."""
    process, parent = tmp_path / "7", tmp_path / "5"
    for directory, name in ((process, "bwrap"), (parent, "bwrap")):
        (directory / "fd").mkdir(parents=True)
        (directory / "comm").write_text(f"{name}\n")
    (process / "status").write_text("Name:\tbwrap\nPPid:\t5\nNSpid:\t7\t1\n")
    (process / "fd" / "3").symlink_to(f"/memfd:{DESCRIPTOR} (deleted)")
    monkeypatch.setattr("deployer.sandbox.orphans._PROCESSES", tmp_path)

    assert not _is_orphan(process)
    (parent / "comm").write_text("systemd\n")
    assert _is_orphan(process)
