"""The collector at work beside builders: nothing that a build uses, or has just made, is taken from it."""

import os
import subprocess
import sys
import time

from deployer.store import Store, verify

SECONDS = float(os.environ.get("DEPLOYER_TEST_COLLECTING", "4"))
COLLECT = """
import sys, time
from pathlib import Path
from deployer.store import Store, collect
end, removed = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    removed += len(collect(Store(Path(sys.argv[1]))).paths)
print(removed)
"""
# Each round forgets its roots, so that the collector has something to do; both builders make the same low derivations.
BUILD = """
import asyncio, sys, time
from pathlib import Path
from deployer.build import BuildSettings, realise
from deployer.formats import Derivation, Output, StorePath
from deployer.formats.derivation import hash_modulo, with_output_paths
from deployer.store import Store
root, seconds, toolchain, who = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4]
def script(store, modulo, name, script, *inputs):
    paths = " ".join(output for _, output in inputs)
    environment = {"PATH": "/usr/bin", "toolchain": toolchain, "inputs": paths, "out": ""}
    draft = Derivation(name, {"out": Output()}, {str(path): ("out",) for path, _ in inputs}, (toolchain,), "x86_64-linux",
        "/bin/sh", ("-e", "-c", script), environment)
    derivation = with_output_paths(draft, modulo.__getitem__)
    path = store.write_derivation(derivation)
    modulo[str(path)] = hash_modulo(derivation, modulo.__getitem__)
    return path, derivation.outputs["out"].path
end, rounds = time.monotonic() + seconds, 0
while time.monotonic() < end:
    store, modulo = Store(root), {}
    lows = [script(store, modulo, f"low{n}", f"echo {n} > $out") for n in range(4)]
    top, output = script(store, modulo, f"top-{who}-{rounds}", "for i in $inputs; do echo $i; cat $i; done > $out", *lows)
    asyncio.run(realise(store, [top], settings=BuildSettings(jobs=2)))
    expected = "".join(f"{path}\\n{n}\\n" for n, (_, path) in enumerate(lows))
    assert store.physical(output).read_text() == expected
    assert len(store.closure([output])) == 5
    store._roots.close()
    rounds += 1
print(rounds)
"""


def test_a_collector_takes_nothing_from_builders(workshop):
    store = workshop.store
    store.add_root("toolchain", workshop.toolchain)
    commands = [[COLLECT], [BUILD, workshop.toolchain, "a"], [BUILD, workshop.toolchain, "b"]]
    arguments = [str(store.root), str(SECONDS)]
    started = time.monotonic()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments, *rest], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for code, *rest in commands
    ]
    said = [process.communicate(timeout=SECONDS + 60) for process in running]

    assert [process.returncode for process in running] == [0, 0, 0], "\n".join(errors for _, errors in said)
    assert time.monotonic() - started >= SECONDS
    assert all(int(text) > 0 for text, _ in said)
    assert verify(Store(store.root), contents=True) == ()
