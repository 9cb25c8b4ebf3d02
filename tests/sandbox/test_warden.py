"""The process that makes sandboxes: many builds of one warden, what it tells, and what is left when it is gone."""

import asyncio
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployer.build.errors import BuildFailed
from deployer.build.sandboxes import open_sandboxes
from deployer.sandbox import RunLimits, run_in_sandbox
from deployer.sandbox.bubbles import Bubbles
from deployer.sandbox.cells import Cells
from tests.build.conftest import make_toolchain
from tests.build.test_sandbox import Room

LIMITS = RunLimits(timeout=30, silence_timeout=30, log_limit=1 << 20)
OPEN = """
import asyncio
from deployer.sandbox.cells import Cells
print(asyncio.run(Cells().open()))
"""


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory):
    return make_toolchain(tmp_path_factory.mktemp("toolchain") / "root")


@pytest.fixture
async def cells():
    made = Cells()
    assert await made.open() == ""
    yield made
    made.close()


@pytest.fixture
def room(tmp_path, toolchain):
    return Room(tmp_path, toolchain)


def warden_of(cells):
    assert cells._process is not None
    return cells._process.pid


def children_of(process):
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


async def started(lines, count=1):
    """Wait until builds have said that they run."""
    async with asyncio.timeout(20):
        while b"".join(lines).count(b"begun") < count:
            await asyncio.sleep(0)


def collecting():
    """What a build prints, and what takes it."""
    pieces: list[bytes] = []

    async def take(data):
        pieces.append(data)

    return pieces, take


async def test_builds_of_one_warden_end_each_by_itself_and_do_not_see_each_other(cells, tmp_path, toolchain):
    async def one(number):
        (tmp_path / str(number)).mkdir()
        pieces, take = collecting()
        spec = Room(tmp_path / str(number), toolchain).spec(f"echo $$; ls /proc; exit {number}")
        return await run_in_sandbox(cells, spec, limits=LIMITS, on_output=take), b"".join(pieces).decode().split()

    found = await asyncio.gather(*(one(number) for number in range(12)))

    assert [ending.status for ending, _ in found] == list(range(12))
    for _, words in found:
        assert words[0] == "1"
        assert {word for word in words[1:] if word.isdigit()} <= {"1", "2"}


async def test_a_builder_that_is_not_there_is_told(room):
    with pytest.raises(BuildFailed) as caught:
        await room.run("true", builder="/usr/bin/none")

    assert caught.value.log_tail == ("deployer: /usr/bin/none can't be run: No such file or directory",)


async def test_what_has_no_place_in_the_plan_is_told_and_runs_nothing(room):
    with pytest.raises(BuildFailed) as caught:
        await room.run("touch $out", build_directory=room.path / "none")

    assert caught.value.log_tail[0].startswith("deployer: the sandbox could not be made: ")
    assert not room.output.exists()


async def test_a_signal_that_ended_the_builder_is_told_as_one(cells, room):
    _, take = collecting()
    spec = dataclasses.replace(room.spec("ulimit -t 1; while :; do :; done"))

    ending = await run_in_sandbox(cells, spec, limits=LIMITS, on_output=take)

    assert ending.status in (-signal.SIGKILL, -signal.SIGXCPU)


async def test_builds_end_with_the_warden_and_the_next_one_is_told_too(cells, room):
    pieces, take = collecting()
    running = asyncio.create_task(run_in_sandbox(cells, room.spec("echo begun; sleep 1000"), limits=LIMITS, on_output=take))
    await started(pieces)
    (builder,) = children_of(warden_of(cells))

    os.kill(warden_of(cells), signal.SIGKILL)

    assert (await running).status == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{builder}/exe"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0)
    assert (await run_in_sandbox(cells, room.spec("true"), limits=LIMITS, on_output=take)).status == -signal.SIGKILL


async def test_what_is_called_off_is_gone(cells, room):
    pieces, take = collecting()
    running = asyncio.create_task(run_in_sandbox(cells, room.spec("echo begun; sleep 1000"), limits=LIMITS, on_output=take))
    await started(pieces)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert children_of(warden_of(cells)) == []


async def test_where_the_kernel_gives_us_no_user_namespaces_that_is_told():
    unshare = ["unshare", "--user", "--map-root-user"]
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = [*unshare, "sh", "-c", forbid, "sh", sys.executable, "-c", OPEN]

    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2], timeout=60
    )

    assert done.stdout.startswith("deployer: this machine does not let us make a sandbox: "), done.stderr


async def test_where_we_may_make_none_bubblewrap_does(monkeypatch):
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")

    async def refused(_):
        return "not here"

    monkeypatch.setattr(Cells, "open", refused)

    assert isinstance(await open_sandboxes(), Bubbles)
