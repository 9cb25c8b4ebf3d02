"""How long evaluation takes: a fleet of many roles and hosts, one host, and a fleet of which nothing or one file has changed.

Whole commands are timed, Python's start included, on two processors, and their processes' memory is added up while they run. Each
figure stands beside the bound that it is held to; beside them `nix-instantiate` evaluates the same fleet in a module system as
small as it can be (`evaluation.nix`), which does as much with it as ours. Nothing is asked of any host.

`seconds` is what a clock on the wall shows. `processor` is what the processors spent: other work on the machine changes it less.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.report import Row, report
from benchmarks.roles import name_of, write_fleet

HOSTS: Final = 1000
ROLES: Final = 10
PROCESSORS: Final = 2
FLEET_SECONDS: Final = 10.0
FLEET_MEGABYTES: Final = 300.0
HOST_SECONDS: Final = 0.15
AGAIN: Final = 0.2
"""Of the first run's time."""
SECONDS: Final = 900.0
"""The longest that one command may take."""
SAMPLE: Final = 0.02
"""Seconds between two looks at the memory of all processes."""
NIX: Final = Path(__file__).with_name("evaluation.nix")


class Failed(Exception):
    """A command failed, or did not do its work."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one command took."""

    seconds: float
    processor: float
    """Seconds of all processors together."""
    megabytes: float
    """Resident in all its processes together, at its peak. What they share counts for each."""
    output: str


def run(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> Run:
    """Run a command, and watch it and whatever it starts. Raises `Failed`."""
    before, began = os.times(), time.monotonic()
    with subprocess.Popen(
        command, env={**os.environ, **environment}, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        peak, watching = [0.0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak, watching))
        watcher.start()
        try:
            output, errors = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"{' '.join(command[:6])} … took more than {SECONDS:.0f} s") from None
        finally:
            watching.set()
            watcher.join()
    took, after = time.monotonic() - began, os.times()
    if process.returncode:
        raise Failed(f"{' '.join(command[:6])} … ended with {process.returncode}:\n{errors[-2000:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(took, spent, peak[0], output)


def _watch(pid: int, peak: list[float], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE):
        peak[0] = max(peak[0], sum(_resident(one) for one in _family(pid)))


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def _resident(pid: int) -> float:
    """MiB; nothing for a process that has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@dataclass(frozen=True, slots=True)
class Bench:
    """A fleet in a directory, and a cache beside it."""

    directory: Path
    hosts: int
    roles: int

    def ours(self, *arguments: str) -> Run:
        """Run `deployer` on the fleet."""
        own = {"XDG_CACHE_HOME": str(self.directory / "cache"), "HOME": str(self.directory)}
        return run((sys.executable, "-m", "deployer", "-i", "inventory.yaml", *arguments), own, self.directory / "fleet")

    def check(self) -> Run:
        """Evaluate the whole fleet."""
        made = self.ours("check", "--json")
        if len(set(json.loads(made.output)["hosts"].values())) != self.hosts:
            raise Failed("two hosts have the same system, or one has none")
        return made

    def nix(self, hosts: int) -> Run:
        """Have Nix evaluate the first hosts."""
        arguments = ("--argstr", "fleet", str(self.directory / "fleet" / "nix"), "--arg", "count", str(hosts))
        command = ("nix-instantiate", "--eval", "--strict", "--json", "--readonly-mode", str(NIX), *arguments)
        settings = {"NIX_REMOTE": str(self.directory / "store"), "NIX_CONFIG": "build-users-group =", "HOME": str(self.directory)}
        made = run(command, settings, self.directory)
        if len(set(json.loads(made.output))) != hosts:
            raise Failed("two hosts have the same derivation in Nix, or one has none")
        return made

    def forget(self) -> None:
        """Empty the cache."""
        shutil.rmtree(self.directory / "cache", ignore_errors=True)


def fleet(bench: Bench, runs: int) -> list[Row]:
    """The whole fleet, for the first time, again, and with one role changed."""
    first, again, changed, theirs = [], [], [], []
    role = bench.directory / "fleet" / "role0.yaml"
    text = role.read_text(encoding="utf-8")
    for number in range(runs):
        bench.forget()
        time.sleep(0.1)  # files that are as new as the command are not taken for unchanged
        first.append(bench.check())
        again.append(bench.check())
        role.write_text(f"{text}# {number}\n", encoding="utf-8")
        time.sleep(0.1)
        changed.append(bench.check())
        theirs.append(bench.nix(bench.hosts))
    work = f"{bench.hosts}-hosts"
    within = [one.seconds for one in first]
    return [
        figure(work, "bound", "seconds", within, [FLEET_SECONDS]),
        figure(work, "bound", "processor", [one.processor for one in first], [FLEET_SECONDS * PROCESSORS]),
        figure(work, "bound", "MB", [one.megabytes for one in first], [FLEET_MEGABYTES]),
        figure(
            f"{work}-again",
            "a fifth of the first",
            "seconds",
            [one.seconds for one in again],
            [AGAIN * one for one in within],
        ),
        figure(f"{work}-again", "the first run", "processor", [one.processor for one in again], [one.processor for one in first]),
        figure(f"{work}-one-role-changed", "the first run", "seconds", [one.seconds for one in changed], within),
        figure(work, "nix-instantiate", "seconds", within, [one.seconds for one in theirs]),
        figure(work, "nix-instantiate", "processor", [one.processor for one in first], [one.processor for one in theirs]),
        figure(work, "nix-instantiate", "MB", [one.megabytes for one in first], [one.megabytes for one in theirs]),
    ]


def host(bench: Bench, runs: int) -> list[Row]:
    """One host of an inventory of ten, all its options."""
    small = Bench(bench.directory / "small", bench.roles, bench.roles)
    (small.directory / "fleet").mkdir(parents=True)
    write_fleet(small.directory / "fleet", small.hosts, small.roles)
    ours, theirs, start = [], [], []
    for _ in range(runs * 4):
        ours.append(small.ours("eval", name_of(0)))
        theirs.append(small.nix(1))
        start.append(run((sys.executable, "-c", "pass"), {}, small.directory))
    work = "one-host"
    return [
        figure(work, "bound", "seconds", [one.seconds for one in ours], [HOST_SECONDS]),
        figure(work, "bound", "processor", [one.processor for one in ours], [HOST_SECONDS]),
        figure(work, "nix-instantiate", "seconds", [one.seconds for one in ours], [one.seconds for one in theirs]),
        figure(work, "python -c pass", "seconds", [one.seconds for one in ours], [one.seconds for one in start]),
    ]


def figure(work: str, against: str, unit: str, ours: Sequence[float], theirs: Sequence[float]) -> Row:
    """One result: medians, and their ratio."""
    mine, other = statistics.median(ours), statistics.median(theirs)
    figures = {"ratio": round(mine / other, 3), "ours": round(mine, 3), "theirs": round(other, 3), "runs": len(ours)}
    return {"work": work, "against": against, "unit": unit, **figures}


def main() -> int:
    """Run the benchmark; 1 if it failed."""
    parser = argparse.ArgumentParser(prog="script/bench evaluation")
    parser.add_argument("--hosts", type=int, default=HOSTS)
    parser.add_argument("--roles", type=int, default=ROLES)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:PROCESSORS])
    with tempfile.TemporaryDirectory(prefix="deployer-bench-") as directory:
        bench = Bench(Path(directory), given.hosts, given.roles)
        (bench.directory / "fleet").mkdir()
        write_fleet(bench.directory / "fleet", bench.hosts, bench.roles)
        try:
            results = [*fleet(bench, given.runs), *host(bench, given.runs)]
        except (Failed, OSError) as error:
            sys.stderr.write(f"bench: {error}\n")
            return 1
    report(results, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
