"""How long a fleet takes: `deployer deploy` with nothing to do and with a change, against the floor and against peers.

The floor connects and runs `true`. The peers do the same work beside us, each under a name of its own on the hosts.
Every run is verified on the hosts; one that did not do its work ends the benchmark. Times are medians of whole processes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from benchmarks.peers import PEERS, Peer
from benchmarks.report import Row, report, row
from deployer.lab import Lab, down, inside, up

ROOT: Final = Path(__file__).resolve().parent.parent
FLOOR: Final = ROOT / "benchmarks" / "floor.py"
SECONDS: Final = 600.0
"""The longest that one run may take."""
PATIENCE: Final = 120.0
"""A peer that has taken so many seconds is not run again on this lab."""
PROBE: Final = "cat /etc/NAME/[1-5]; pid=$(systemctl show -P MainPID NAME); tr '\\0' '\\n' </proc/$pid/environ | grep ^TOKEN="


class Failed(Exception):
    """A run failed, or did not do its work."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A lab, and the private directory from which it is deployed."""

    lab: Lab
    directory: Path

    def run(
        self, arguments: Sequence[str], more: Mapping[str, str] | None = None, *, longest: float = SECONDS
    ) -> tuple[float, str]:
        """Run a program inside the lab's network; its seconds and what it printed. None of its processes outlives a failure."""
        home = str(self.directory)
        private = {
            name: f"{home}/{name.lower()}" for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
        }
        environment = {**os.environ, **private, "HOME": home, **(more or {})}
        began = time.monotonic()
        with inside(self.lab):
            process = subprocess.Popen(
                arguments,
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        try:
            printed, complaints = process.communicate(timeout=longest)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):  # It may have ended just now.
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        took = time.monotonic() - began
        if process.returncode:
            raise Failed(f"{' '.join(arguments[:4])} … ended with {process.returncode}:\n{(printed + complaints)[-3000:]}")
        return took, printed

    def floor(self, command: str = "true") -> tuple[float, dict[str, Any]]:
        """Run a command on all hosts by asyncssh, in a fresh process."""
        addresses = [host.address for host in self.lab.hosts]
        took, printed = self.run([sys.executable, str(FLOOR), str(self.lab.directory), command, *addresses])
        return took, json.loads(printed)

    def deploy(self) -> float:
        """Deploy what `configure` wrote last."""
        inventories = ("-i", str(self.lab.inventory), "-i", str(self.directory / "bench.yaml"))
        return self.run(
            [sys.executable, "-m", "deployer", *inventories, "deploy", "--yes", "--canary", "none", "--max-parallel", "50"]
        )[0]

    def peer(self, peer: Peer, token: int) -> float:
        """Deploy the work with this token by a peer."""
        command = peer.command(self.lab, self.directory, token)
        try:
            return self.run(command.arguments, command.environment)[0]
        finally:
            command.hang_up()

    def configure(self, token: int) -> None:
        """Write the configuration: five files, a user, a sysctl, a directory, a unit that carries the token, and a check."""
        configuration = {
            "etc": {f"bench/{number}": {"text": f"file {number}\n"} for number in range(1, 6)},
            "users": {"bench": {"description": "Runs the benchmark's unit"}},
            "sysctl": {"net.core.somaxconn": "4096"},
            "tmpfiles": {"rules": ["d /run/bench 0755 root root -"]},
            "systemd": {
                "services": {
                    "bench": {
                        "description": "Sleeps",
                        "wanted_by": ["multi-user.target"],
                        "service": {"ExecStart": "/bin/sleep infinity", "User": "bench", "Environment": f"TOKEN={token}"},
                    }
                }
            },
            "checks": {"unit": {"kind": "unit", "unit": "bench.service"}},
            # The hosts share the controller's processors: what a real host does in a moment waits here for all others.
            "activation": {"unit_timeout": 300, "check_deadline": 300, "confirm_timeout": 300},
        }
        (self.directory / "host.yaml").write_text(json.dumps(configuration), encoding="utf-8")
        (self.directory / "bench.yaml").write_text(json.dumps({"configuration": "host.yaml"}), encoding="utf-8")

    def verify(self, token: int, name: str = "bench") -> None:
        """Every host has the five files of this name, and the running process has the token. Raises `Failed`."""
        wanted = "".join(f"file {number}\n" for number in range(1, 6)) + f"TOKEN={token}\n"
        answers = self.floor(PROBE.replace("NAME", name))[1]["answers"]
        wrong = [host.name for host, answer in zip(self.lab.hosts, answers, strict=True) if answer != wanted]
        if wrong:
            raise Failed(f"the work of {name} was not done on {', '.join(wrong)}")


def measure(stage: Stage, runs: int, peers: Sequence[Peer]) -> list[Row]:
    """Measure all works on one lab: ours, the floor and the peers in turn."""
    stage.configure(0)
    stage.deploy()
    stage.verify(0)
    tokens = {peer.name: 0 for peer in peers}
    for peer in peers:
        stage.peer(peer, 0)
        stage.verify(0, peer.unit)
    times: dict[str, list[float]] = {"floor": [], "bare": [], "nothing": [], "change": []}
    times |= {f"{work} {peer.name}": [] for work in ("nothing", "change") for peer in peers}
    for run in range(1, runs + 1):
        took, report = stage.floor()
        times["floor"].append(took)
        times["bare"].append(report["seconds"])
        times["nothing"].append(stage.deploy())
        patient = [peer for peer in peers if sum(times[f"nothing {peer.name}"]) + sum(times[f"change {peer.name}"]) < PATIENCE]
        for peer in patient:
            times[f"nothing {peer.name}"].append(stage.peer(peer, tokens[peer.name]))
            stage.verify(tokens[peer.name], peer.unit)
        stage.configure(run)
        times["change"].append(stage.deploy())
        stage.verify(run)
        for peer in patient:
            times[f"change {peer.name}"].append(stage.peer(peer, run))
            stage.verify(run, peer.unit)
            tokens[peer.name] = run
    pairs = [
        ("nothing-to-do", "floor", "nothing", "floor"),
        ("nothing-to-do", "floor-without-python-start", "nothing", "bare"),
        *(("nothing-to-do", peer.name, "nothing", f"nothing {peer.name}") for peer in peers),
        ("one-file-change", "floor", "change", "floor"),
        *(("one-file-change", peer.name, "change", f"change {peer.name}") for peer in peers),
    ]
    hosts = len(stage.lab.hosts)
    return [row(work, against, times[ours], times[theirs], hosts=hosts) for work, against, ours, theirs in pairs]


def bench(hosts: int, runs: int, peers: Sequence[Peer]) -> list[Row]:
    """Bring a lab up, measure, and take it down whatever happens."""
    name = f"bench-{os.getpid()}"
    try:
        lab = asyncio.run(up(name, hosts, owner=os.getpid()))
        with tempfile.TemporaryDirectory(prefix="deployer-bench-") as directory:
            return measure(Stage(lab, Path(directory)), runs, peers)
    finally:
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        asyncio.run(down(name))
        signal.signal(signal.SIGINT, previous)


def main() -> int:
    """Run the benchmark; 1 if it failed."""
    parser = argparse.ArgumentParser(prog="script/bench fleet")
    parser.add_argument("--hosts", default="10,50,100")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    names = [peer.name for peer in PEERS]
    parser.add_argument("--skip", action="append", default=[], choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    given = parser.parse_args()
    peers = [peer for peer in PEERS if peer.name not in given.skip]
    signal.signal(signal.SIGTERM, _interrupted)
    results: list[Row] = []
    status = 0
    try:
        for hosts in map(int, given.hosts.split(",")):
            results += bench(hosts, given.runs, peers)
    except (Failed, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"bench: {error}\n")
        status = 1
    except KeyboardInterrupt:
        status = 130
    if results:  # What was measured before a failure took long, and holds.
        report(results, given.json)
    return status


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
