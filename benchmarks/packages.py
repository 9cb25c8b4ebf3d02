"""What a program costs: bytes on the wire, on the disk, and seconds; for a first deploy, and for an update of one library.

The programs are nginx, Redis and a FastAPI application, each alone and all together. The library is one that all of them use, and
that the security suite has a newer version of; nothing else is updated. The same Debian packages and wheels are deployed by us to
hosts of a lab, installed by apt and pip into fresh roots, and built into container images by buildah.

Our bytes on the wire are those that a host's network interface counts, in both directions, with all that SSH and TCP add. Of the
peers only the files are counted. Bytes on the disk are what was allocated, each file once. Times are of single runs; ours
have the copy in them, what apt and buildah fetch is there before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from benchmarks.fleet import Failed, Stage
from benchmarks.peers.debian import Cost, Debian, DebianFailed, occupied, run
from benchmarks.peers.images import Images
from benchmarks.programs import PROGRAMS, SECURITY, SUITE, Program, requirements, write_hosts, write_packages
from benchmarks.report import Row, report
from deployer.errors import DeployerError
from deployer.lab import LabHost, down, up
from deployer.packages.lockfile import LOCK_NAME, Lock
from deployer.packages.locking import lock_packages

PREFERRED: Final = "libssl3"
EVERYTHING: Final = "all"
LIBRARY_OF: Final = (
    "pid=$(systemctl show -P MainPID {unit}) && object=$(grep -om1 '/.*/libcrypto.so.3' /proc/$pid/maps) && "
    "sha256sum </proc/$pid/root$object"
)
"""Tells which libcrypto a service runs with."""
WITH_INDEX: Final = "apt and pip, index too"
WITHOUT_BASE: Final = "buildah, base there"
"""Other ways to count what crosses the wire."""
UNITS: Final = (("wire", "MB", 1e6), ("disk", "MB", 1e6), ("seconds", "s", 1.0))

Costs = tuple[Cost, Cost]
"""Of the first deploy and of the update."""


@dataclass(frozen=True, slots=True)
class Locks:
    """What our Debian packages are pinned to, before and after the library's update."""

    before: Lock
    after: Lock
    library: str

    @classmethod
    def make(cls, directory: Path, packages: Path) -> Locks:
        """Lock twice, and take one library of what the security suite has. Raises `Failed`."""
        asyncio.run(lock_packages(packages))
        before = Lock.read(packages.with_name(LOCK_NAME))
        newer = write_packages(directory / "newer", (SUITE, SECURITY))
        asyncio.run(lock_packages(newer))
        fixed = {deb.name: deb for one in Lock.read(newer.with_name(LOCK_NAME)).debian.values() for deb in one.debs}
        shared = set.intersection(*({deb.name for deb in one.debs} for one in before.debian.values()))
        changed = {deb.name for one in before.debian.values() for deb in one.debs if fixed.get(deb.name, deb) != deb}
        candidates = sorted(shared & changed, key=lambda name: (name != PREFERRED, name))
        if not candidates:
            raise Failed(f"{SECURITY} has nothing newer of what all programs use: there is no update to measure")
        library = candidates[0]
        after = {
            name: replace(one, debs=tuple(fixed[library] if deb.name == library else deb for deb in one.debs))
            for name, one in before.debian.items()
        }
        return cls(before, Lock(after), library)


@dataclass(frozen=True, slots=True)
class Ours:
    """A lab with a host for each program, and one for all; and the directory that they are deployed from."""

    stage: Stage
    locks: Locks

    def build(self, *, updated: bool) -> None:
        """Build the systems of all hosts. This is the one step that asks mirrors."""
        lock = self.locks.after if updated else self.locks.before
        (self.stage.directory / LOCK_NAME).write_text(str(lock), encoding="utf-8")
        home = str(self.stage.directory)
        private = {f"XDG_{name}_HOME": f"{home}/xdg_{name.lower()}_home" for name in ("DATA", "STATE", "CACHE", "CONFIG")}
        done = subprocess.run(
            self._command("build"),
            cwd=home,
            env={**os.environ, **private, "HOME": home},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        if done.returncode:
            raise Failed(f"the systems could not be built:\n{done.stderr[-2000:]}")

    def deploy(self, name: str) -> Cost:
        """Deploy to one host, whose checks must pass."""
        host = self.stage.lab.host(name)
        wire, disk = traffic(host), occupied(host.disk / "upper")
        took, _ = self.stage.run(self._command("deploy", "--yes", "--canary", "none", "--on", name))
        return Cost(traffic(host) - wire, occupied(host.disk / "upper") - disk, took)

    def libraries(self, name: str, programs: Sequence[Program]) -> list[str]:
        """The libcrypto that each program runs with. Raises `Failed` where one has none."""
        command = ("ssh", "-F", str(self.stage.lab.ssh_config), name)
        return [self.stage.run((*command, LIBRARY_OF.format(unit=program.name)))[1] for program in programs]

    def _command(self, verb: str, *arguments: str) -> list[str]:
        inventories = ("-i", str(self.stage.lab.inventory), "-i", str(self.stage.directory / "bench.yaml"))
        return [sys.executable, "-m", "deployer", *inventories, verb, *arguments]


def traffic(host: LabHost) -> int:
    """Bytes that the host's network interface has received and sent."""
    shown = run(["ip", "-netns", host.namespace.name, "-stats", "-json", "link", "show", "host0"])
    counted = json.loads(shown)[0]["stats64"]
    return int(counted["rx"]["bytes"]) + int(counted["tx"]["bytes"])


def measure_ours(ours: Ours, sets: Mapping[str, Sequence[Program]]) -> dict[str, Costs]:
    """All hosts, one after the other."""
    ours.build(updated=False)
    first = {name: ours.deploy(name) for name in sets}
    found = {name: ours.libraries(name, programs) for name, programs in sets.items()}
    ours.build(updated=True)
    second = {name: ours.deploy(name) for name in sets}
    for name, programs in sets.items():
        both = zip(found[name], ours.libraries(name, programs), strict=True)
        if ours.locks.library == PREFERRED and any(before == after for before, after in both):
            raise Failed(f"a program of the host {name} runs with the old library")
    return {name: (first[name], second[name]) for name in sets}


def measure_roots(debian: Debian, sets: Mapping[str, Sequence[Program]]) -> dict[str, Costs]:
    """apt and pip, in a fresh root for each set."""
    costs = {}
    for name, programs in sets.items():
        with debian.root(name) as root:
            packages = [package for program in programs for package in program.debian]
            first = root.install(packages, wheels=any(program.wheels for program in programs))
            costs[name] = first, root.update()
    return costs


def measure_images(images: Images, sets: Mapping[str, Sequence[Program]]) -> dict[str, Costs]:
    """Images of each program; a set has those of its programs."""
    for updated in (False, True):
        images.build(PROGRAMS, updated=updated)
    return {name: images.deploy(programs, name) for name, programs in sets.items()}


def rows(sets: Iterable[str], ours: Mapping[str, Costs], peers: Mapping[str, Mapping[str, Costs]]) -> list[Row]:
    """One for each work, unit, set and peer."""
    return [
        {"work": work, "programs": name, "against": peer, "of": what, "unit": unit}
        | _compared(getattr(ours[name][number], what) / scale, getattr(costs[name][number], what) / scale)
        for number, work in enumerate(("first-deploy", "update-one-library"))
        for what, unit, scale in UNITS
        for name in sets
        for peer, costs in peers.items()
        if what == "wire" or peer not in (WITH_INDEX, WITHOUT_BASE)
    ]


def _with_index(costs: Costs) -> Costs:
    first, second = (replace(cost, wire=cost.wire + cost.index) for cost in costs)
    return first, second


def _compared(ours: float, theirs: float) -> dict[str, object]:
    # A disk may have shrunk: then there is nothing to be a multiple of.
    return {"ratio": round(ours / theirs, 2) if theirs > 0 else None, "ours": round(ours, 2), "theirs": round(theirs, 2)}


def bench() -> list[Row]:
    """Bring a lab up, measure all sides, and take it down whatever happens."""
    name = f"bench-{os.getpid()}"
    sets: dict[str, Sequence[Program]] = {program.name: (program,) for program in PROGRAMS} | {EVERYTHING: PROGRAMS}
    with tempfile.TemporaryDirectory(prefix="deployer-bench-", ignore_cleanup_errors=True) as directory:
        place = Path(directory)
        place.chmod(0o755)
        try:
            stage = Stage(asyncio.run(up(name, hosts=tuple(sets), owner=os.getpid())), place / "ours")
            locks = Locks.make(place, write_packages(stage.directory, (SUITE,)))
            write_hosts(stage.directory, sets)
            ours = measure_ours(Ours(stage, locks), sets)
        finally:
            previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
            asyncio.run(down(name))
            signal.signal(signal.SIGINT, previous)
        _tell(f"{locks.library} is what is updated; ours is measured")
        debian = Debian(place / "debian", locks.library)
        debian.prepare(requirements())
        peers = {"apt and pip": measure_roots(debian, sets)}
        _tell("apt and pip are measured")
        usual = Images(place / "images", debian)
        peers["buildah"] = measure_images(usual, sets)
        careful = Images(place / "images-of-one-date", debian, same_dates=True)
        peers["buildah, one date"] = measure_images(careful, sets)
        peers[WITH_INDEX] = {name: _with_index(costs) for name, costs in peers["apt and pip"].items()}
        base = usual.base(PROGRAMS[0])
        peers[WITHOUT_BASE] = {
            name: (replace(first, wire=first.wire - base), second) for name, (first, second) in peers["buildah"].items()
        }
    return rows(sets, ours, peers)


def _tell(text: str) -> None:
    sys.stderr.write(f"bench: {text} ({time.strftime('%H:%M:%S')})\n")


def main() -> int:
    """Run the benchmark; 1 if it failed."""
    parser = argparse.ArgumentParser(prog="script/bench packages")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupted)
    if platform.machine() != "x86_64":
        sys.stderr.write("bench: the lock file's wheels are for x86_64\n")
        return 1
    try:
        results = bench()
    except (Failed, DebianFailed, DeployerError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    report(results, given.json)
    return 0


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
