"""kill -9 at random instants of builds: the store stays whole, nothing valid is lost, no process stays, and building goes on."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from deployer.store import Store, collect, verify

ROUNDS = int(os.environ.get("DEPLOYER_TEST_CRASHES", "12"))
BUILD = """
import asyncio, sys
from pathlib import Path
from deployer.build import BuildSettings, realise
from deployer.build.events import BuildEnded
from deployer.formats import StorePath
from deployer.store import Store
store = Store(Path(sys.argv[1]))
def told(event):
    if isinstance(event, BuildEnded):
        print(*event.outputs, flush=True)
    elif event.__class__.__name__ == "GraphScheduled":
        print("begun", flush=True)
asyncio.run(realise(store, [StorePath.parse(path) for path in sys.argv[2:]], settings=BuildSettings(jobs=3), on_event=told))
"""
SCRIPT = (
    "mkdir $out $dev; for i in 1 2 3 4 5 6; do echo $word $i $inputs > $out/$i; done; echo $out > $dev/self; cp -r $out $dev/copy"
)


def left_running(root):
    """Processes that have files of the store open, or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            seen = [os.readlink(process / "cwd"), *(os.readlink(item) for item in (process / "fd").iterdir())]
        except OSError:
            continue
        if process.name != str(os.getpid()) and any(str(root) in text for text in seen):
            found.append(process.name)
    return found


def build_and_kill(root, derivations, seed):
    """Returns what the builder said that it had built, when nothing of it is left."""
    command = [sys.executable, "-c", BUILD, str(root), *map(str, derivations)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(random.Random(seed).uniform(0, 0.25))
        os.kill(process.pid, signal.SIGKILL)
        said = process.stdout.read().decode().split()
    deadline = time.monotonic() + 5
    while left := left_running(root):
        assert time.monotonic() < deadline, (seed, left)
        time.sleep(0.01)
    return said


async def test_a_run_that_is_cancelled_at_any_instant_leaves_nothing(workshop):
    first = random.randrange(1 << 30)
    sys.stdout.write(f"first seed {first}\n")
    store = workshop.store

    for seed in range(first, first + ROUNDS):
        lows = [workshop.script(f"low-{seed}-{n}", SCRIPT, outputs=("out", "dev"), word=f"low{n}") for n in range(3)]
        top = workshop.script(f"top-{seed}", SCRIPT, *lows, outputs=("out", "dev"), word="top")
        task = asyncio.create_task(workshop.realise(top, jobs=2))
        await asyncio.wait([task], timeout=random.Random(seed).uniform(0, 0.15))
        task.cancel()
        await asyncio.wait([task])

        assert left_running(store.layout.aside) == [], seed
        assert list(store.layout.aside.iterdir()) == [], seed
        assert list(store.layout.locks.iterdir()) == [], seed
        assert verify(Store(store.root), contents=True) == (), seed
        await workshop.realise(top)


async def test_a_killed_builder_leaves_a_whole_store(workshop):
    first = random.randrange(1 << 30)
    sys.stdout.write(f"first seed {first}\n")
    store = workshop.store
    store.add_root("toolchain", workshop.toolchain)

    for seed in range(first, first + ROUNDS):
        lows = [workshop.script(f"low-{seed}-{n}", SCRIPT, outputs=("out", "dev"), word=f"low{n}") for n in range(6)]
        tops = [
            workshop.script(f"top-{seed}-{n}", SCRIPT, *lows[n : n + 3], outputs=("out", "dev"), word="top") for n in range(4)
        ]
        said = build_and_kill(store.root, tops, seed)

        assert store.valid(said) == set(said), seed
        assert verify(Store(store.root), contents=True) == (), seed
        valid = set(store.database.all_paths())
        await workshop.realise(*tops)
        assert valid <= set(store.database.all_paths()), seed
        assert verify(Store(store.root), contents=True) == (), seed

    collect(Store(store.root), keep=[workshop.toolchain])
    assert list(store.layout.aside.iterdir()) == []
