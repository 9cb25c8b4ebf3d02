"""Two that build one thing wait for each other, in one process and in two."""

import asyncio
import subprocess
import sys

import pytest

from deployer.build import realise
from deployer.build.events import BuildStarted, BuildWaited
from deployer.build.waiting import holding, to_its_end
from deployer.store import Store

HOLD = """
import sys
from pathlib import Path
from deployer.store import Store
with Store(Path(sys.argv[1])).lock_paths([sys.argv[2]]):
    print("held", flush=True)
    sys.stdin.read()
"""


async def test_two_runs_build_one_thing_once(workshop):
    made = workshop.script("slow", "sleep 0.5; echo > $out")
    other: list[object] = []

    await asyncio.gather(
        workshop.realise(made),
        realise(Store(workshop.store.root), [made], on_event=other.append),
    )

    events = workshop.events + other
    assert len([event for event in events if isinstance(event, BuildStarted)]) == 1
    assert len([event for event in events if isinstance(event, BuildWaited)]) == 1


@pytest.fixture
def holder(workshop):
    """Another process that is making the output of a derivation."""
    processes = []

    def hold(path):
        command = [sys.executable, "-c", HOLD, str(workshop.store.root), str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


async def test_another_process_is_waited_for_until_it_ends(workshop, holder):
    made = workshop.script("made", "echo > $out")
    process = holder(workshop.output(made))
    waiting = asyncio.create_task(workshop.realise(made))
    await asyncio.wait([waiting], timeout=0.3)
    assert (workshop.names(BuildWaited), workshop.names(BuildStarted)) == (["made"], [])

    process.kill()

    await asyncio.wait_for(waiting, 10)
    assert workshop.names(BuildStarted) == ["made"]


async def test_waiting_can_be_cancelled_and_leaves_no_lock(workshop, holder):
    made = workshop.script("made", "echo > $out")
    process = holder(workshop.output(made))
    waiting = asyncio.create_task(workshop.realise(made))
    await asyncio.wait([waiting], timeout=0.2)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    process.kill()
    process.wait()
    async with asyncio.timeout(5), holding(workshop.store, [workshop.output(made)], on_wait=lambda: None):
        pass
    assert list(workshop.store.layout.locks.iterdir()) == []


async def test_what_must_not_be_broken_off_ends_before_we_do():
    done = []

    async def work():
        await asyncio.sleep(0.01)
        done.append("done")

    task = asyncio.create_task(to_its_end(work()))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["done"]
