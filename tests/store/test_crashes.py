"""kill -9 at random instants: what was valid stays valid and whole, and the collector sweeps the rest."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from deployer.store import Store, collect, verify

ROUNDS = int(os.environ.get("DEPLOYER_TEST_KILLS", "10"))
"""Of each kind of work."""
START = """
import io, os, random, sys
from pathlib import Path
from deployer.store import Store, collect, optimise
from deployer.store.exporting import export_paths, import_paths
root, seed = Path(sys.argv[1]), int(sys.argv[2])
dice = random.Random(seed)
source = root.parent / f"source-{seed}"
source.mkdir()
for number in range(20):
    (source / str(number)).write_bytes(dice.choice([b"same", os.urandom(3)]) * 3000)
store = Store(root)
print("begun", flush=True)
"""
WORKS = {
    "add and collect": """
for number in range(1000):
    low = store.add_text(f"low-{dice.randrange(40)}", b"low" * 3000)
    high = store.add_text(f"high-{seed}-{number}", str(low).encode(), [low])
    (source / "0").write_bytes(os.urandom(5000))
    store.add_tree("tree", source)
    print(high, flush=True)
    if dice.random() < 0.3:
        collect(Store(root))
""",
    "optimise": """
for number in range(1000):
    for name in os.listdir(store.layout.links):
        os.unlink(store.layout.links / name)
    print(store.add_tree(f"tree-{seed}-{number}", source), flush=True)
    optimise(store)
""",
    "import": """
other = Store(root.parent / f"other-{seed}")
for number in range(1000):
    low = other.add_text(f"low-{seed}-{number}", os.urandom(3000))
    tree = other.add_tree(f"tree-{seed}-{number}", source)
    stream = io.BytesIO()
    export_paths(other, [low, tree], stream.write)
    stream.seek(0)
    print(*import_paths(store, stream.read), sep="\\n", flush=True)
""",
}


@pytest.mark.parametrize("work", WORKS.values(), ids=list(WORKS))
def test_a_killed_process_leaves_a_whole_store(tmp_path, work):
    first = random.randrange(1 << 30)
    sys.stdout.write(f"first seed {first}\n")
    root = tmp_path / "root"
    kept = Store(root)
    anchor = kept.add_text("anchor", b"anchor" * 1000)
    kept.add_root("anchor", anchor)

    for number in range(ROUNDS):
        seed = first + number
        command = [sys.executable, "-c", START + work, str(root), str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.Random(seed).uniform(0, 0.25))
            os.kill(process.pid, signal.SIGKILL)
            said = process.stdout.read().decode().split("\n")[:-1]
        store = Store(root)

        # The child's roots kept its work from its own collector, so all that it said must have outlived it.
        assert store.valid(said) == set(said), seed
        assert verify(store) == (), seed
        assert store.is_valid(anchor)
        collect(store)
        assert verify(store) == (), seed
        assert store.is_valid(anchor)
        assert store.valid(said) == set(), seed
        assert os.listdir(store.layout.aside) == [], seed
        registered = {os.path.basename(path) for path in store.database.all_paths()}
        assert {name for name in os.listdir(store.layout.store) if not name.startswith(".")} == registered
