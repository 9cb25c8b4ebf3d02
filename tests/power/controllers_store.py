"""A controller's store on a machine: the work in it that is cut off, and what must be true of it once there is power again."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

import click

import deployer
from deployer.store.exporting import export_paths
from tests.build.conftest import Workshop, make_toolchain
from tests.build.test_crashes import BUILD, SCRIPT
from tests.machines.machine import Machine
from tests.store.test_crashes import START, WORKS

_HOME: Final = "/opt/controller"
_ROOT: Final = f"{_HOME}/root"
"""Below which the store lies."""
_PYTHON: Final = f"PYTHONPATH={_HOME}/python /usr/bin/python3"
_BUILDING: Final = "build"
STORE_WORKS: Final = (_BUILDING, *WORKS)
_LOWS, _TOPS = 4, 3
_IMPORT: Final = """
import sys
from pathlib import Path
from types import ModuleType
from deployer.store import Store
from deployer.store.exporting import import_paths
store = Store(Path(sys.argv[1]))
for number, path in enumerate(import_paths(store, sys.stdin.buffer.read)):
    store.add_root(f"given-{number}", path)
"""
_JUDGE: Final = """
import json, os, sys
from pathlib import Path
from types import ModuleType
from deployer.store import Store, collect, verify
store = Store(Path(sys.argv[1]))
said = set(sys.stdin.read().split())
wrong = [f"lost: {path}" for path in said - store.valid(said)]
collect(store)
wrong += [f"damaged by a collection: {one}" for one in verify(store)]
registered = {os.path.basename(path) for path in store.database.all_paths()}
names = {name for name in os.listdir(store.layout.store) if not name.startswith(".")}
wrong += [f"a name without a path, or a path without a name: {name}" for name in names ^ registered]
wrong += [f"left aside: {name}" for name in os.listdir(store.layout.aside)]
print(json.dumps(wrong))
"""


@dataclass(frozen=True)
class ControllersStore:
    """What the machine's store was given before anything was cut off, all of it rooted."""

    given: tuple[str, ...]
    derivations: tuple[str, ...]
    """What there is to build."""

    def begin(self, machine: Machine, work: str, seed: int) -> subprocess.Popen[bytes]:
        """Start a piece of work, which prints `begun`, and then each path that it has made valid."""
        program, arguments = (BUILD, self.derivations) if work == _BUILDING else (START + WORKS[work], (str(seed),))
        return subprocess.Popen(machine.ssh(_python(program, *arguments)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def wrong(self, machine: Machine, said: Sequence[str]) -> list[str]:
        """All that is not as it must be, where the paths that were `said` have been reported valid."""
        verified = machine.try_to_run(f"{_PYTHON} -m deployer store verify --check-contents --store-root {_ROOT}")
        found = [] if verified.returncode == 0 else [f"store verify: {verified.stdout.decode() + verified.stderr.decode()}"]
        found += json.loads(machine.run(_python(_JUDGE), stdin="\n".join([*self.given, *said]).encode()))
        built = machine.try_to_run(_python(BUILD, *self.derivations))
        if built.returncode:
            found.append(f"a build afterwards: {built.stderr.decode()}")
        return found


def install(machine: Machine, directory: Path) -> ControllersStore:
    """Put deployer on the machine, and what builds need into a store there."""
    machine.run(f"mkdir -p {_HOME}/python && tar -x -C {_HOME}/python", stdin=_packed(deployer, click))
    workshop = Workshop(directory / "workshop", make_toolchain(directory / "toolchain"))
    lows = [workshop.script(f"low-{number}", SCRIPT, outputs=("out", "dev"), word=f"low{number}") for number in range(_LOWS)]
    tops = [
        workshop.script(f"top-{number}", SCRIPT, *lows[number : number + 2], outputs=("out", "dev"), word="top")
        for number in range(_TOPS)
    ]
    given = tuple(str(path) for path in workshop.store.closure([*tops, *lows]))
    stream = io.BytesIO()
    export_paths(workshop.store, given, stream.write)
    machine.run(_python(_IMPORT), stdin=stream.getvalue())
    return ControllersStore(given, tuple(str(path) for path in tops))


def _python(program: str, *arguments: str) -> str:
    return f"{_PYTHON} -c {shlex.quote(program)} {_ROOT} {shlex.join(arguments)}"


def _packed(*packages: ModuleType) -> bytes:
    """Python packages of this interpreter's, all of them plain source."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for package in packages:
            place = Path(str(package.__file__)).parent
            archive.add(place, place.name, filter=lambda one: None if "__pycache__" in one.name else one)
    return packed.getvalue()
