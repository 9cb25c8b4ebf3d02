"""What a switch costs on one host: how long a service is away, and how long 500 files in `/etc` take.

A program on the host asks the service every few milliseconds who it is; the time without service is from the last answer of the
old process to the first of the new one. It is taken for `systemctl restart` alone and for a whole deployment, in turn. The files
are changed by us, by `rsync` and `systemctl restart`, and by Ansible's `copy`; each has a directory and a service of its own,
and what stands on the host afterwards is compared.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.fleet import PATIENCE, Failed, Stage
from benchmarks.peers.tools import ANSIBLE
from benchmarks.report import Row, report, row
from deployer.lab import down, inside, up

FILES: Final = 500
LONGEST: Final = 2400.0
"""Seconds for Ansible's `copy`, which takes several steps on the host for each file, one after another."""
RSYNC: Final = ("rsync", "libpopt0", "libxxhash0")
"""Debian packages that bring it to both sides, outside of what is installed there."""
PORTS: Final = {"plain": 7001, "stopped": 7002, "filed": 7003, "nice": 7004}
"""A service that is restarted in one go, and three that a program stops: one whose variables change, one whose file does, and one
of which something changes that the program runs with too."""
WORKS: Final = {
    "plain": "service-away",
    "stopped": "service-away, a program stops it",
    "filed": "the same, and its file changes",
    "nice": "the same, and how programs run",
}
SERVER: Final = (
    "import os, socket\n"
    "listener = socket.create_server(('127.0.0.1', {port}))\n"
    "while True:\n"
    "    caller = listener.accept()[0]\n"
    "    caller.sendall(b'%d' % os.getpid())\n"
    "    caller.close()\n"
)
PROBE: Final = """
import socket, sys, time
def ask():
    try:
        with socket.create_connection(('127.0.0.1', {port}), 0.2) as caller:
            return caller.recv(100)
    except OSError:
        return b''
old, last = ask(), time.monotonic()
print('ready', flush=True)
deadline = last + 120
while time.monotonic() < deadline:
    said, now = ask(), time.monotonic()
    if said == old:
        last = now
    elif said:
        print(now - last)
        break
    time.sleep(0.002)
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """One host, and what it is deployed from."""

    stage: Stage
    rsync: Path
    """What `RSYNC` unpacks to."""

    def ssh(self, *command: str) -> tuple[str, ...]:
        """Run a command on the host."""
        return ("ssh", "-F", str(self.stage.lab.ssh_config), self.stage.lab.hosts[0].name, *command)

    def configure(self, tokens: Mapping[str, int]) -> None:
        """The services of which we measure the absence; each changes where its token does."""
        changing: dict[str, Callable[[int], dict[str, object]]] = {
            "plain": lambda token: {"Environment": f"TOKEN={token}"},
            "stopped": lambda token: {"Environment": f"TOKEN={token}", "ExecStop": "/bin/true"},
            "filed": lambda token: {"ExecStop": "/bin/true"},
            "nice": lambda token: {"Nice": str(token % 2), "ExecStop": "/bin/true"},
        }
        services = {
            name: {
                "wanted_by": ["multi-user.target"],
                "service": {"ExecStart": f"/usr/bin/python3 -I /etc/bench-{name}.py", **changing[name](token)},
                "unit": {"X-Restart-Triggers": str(token)} if name == "filed" else {},
            }
            for name, token in tokens.items()
        }
        remarks = {name: f"# {token}\n" if name == "filed" else "" for name, token in tokens.items()}
        scripts = {f"bench-{name}.py": {"text": SERVER.format(port=port) + remarks[name]} for name, port in PORTS.items()}
        self._write({"etc": scripts, "systemd": {"services": services}})

    def configure_files(self, token: int) -> None:
        """Also the files, as `files` makes them for the others."""
        reader = {
            "wanted_by": ["multi-user.target"],
            "service": {"ExecStart": "/bin/sleep infinity"},
            "unit": {"X-Restart-Triggers": "/etc/bench-ours/0"},
        }
        files = {f"bench-ours/{number}": {"text": text(number, token)} for number in range(FILES)}
        self._write({"etc": files, "systemd": {"services": {"bench-ours": reader}}})

    def absence(self, name: str, work: Callable[[], object]) -> float:
        """The seconds without service while something is done that restarts it."""
        with inside(self.stage.lab):
            probe = subprocess.Popen(
                self.ssh("python3 -I -u -"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
        assert probe.stdin is not None
        assert probe.stdout is not None
        try:
            probe.stdin.write(PROBE.format(port=PORTS[name]))
            probe.stdin.close()
            if probe.stdout.readline().strip() != "ready":
                raise Failed(f"the service {name} could not be watched")
            work()
            said = probe.stdout.readline().strip()
        finally:
            probe.kill()
            probe.wait()
        if not said:
            raise Failed(f"the service {name} was not restarted")
        return float(said)

    def restart(self, name: str) -> float:
        """`systemctl restart` alone."""
        return self.stage.run(self.ssh("systemctl", "restart", f"{name}.service"))[0]

    def by_rsync(self, source: Path) -> float:
        """Two commands, as a script would run them."""
        remote = "LD_LIBRARY_PATH=/opt/bench-rsync/lib /opt/bench-rsync/rsync"
        shell = f"ssh -F {self.stage.lab.ssh_config}"
        host = self.stage.lab.hosts[0].name
        options = ("-rt", "--checksum", "--delete", "--chmod=F644", f"--rsync-path={remote}", "-e", shell)
        paths = {"LD_LIBRARY_PATH": str(next(self.rsync.glob("usr/lib/*-linux-gnu")))}
        program = str(self.rsync / "usr/bin/rsync")
        copied = self.stage.run([program, *options, f"{source}/", f"{host}:/etc/bench-rsync/"], paths)[0]
        return copied + self.restart("bench-rsync")

    def by_ansible(self, source: Path) -> float:
        """One playbook."""
        command = ANSIBLE.command(self.stage.lab, self.stage.directory, 0)
        playbook = str(Path(__file__).parent / "peers" / "files.yml")
        arguments = (*command.arguments[:-1], playbook, "-e", f"source={source}")
        try:
            return self.stage.run(arguments, command.environment, longest=LONGEST)[0]
        finally:
            command.hang_up()

    def prepare(self) -> None:
        """Services for the others, and rsync for the host."""
        disk = self.stage.lab.hosts[0].disk / "root"
        place = disk / "opt/bench-rsync/lib"
        place.mkdir(parents=True)
        for library in self.rsync.glob("usr/lib/*-linux-gnu/*.so*"):
            (place / library.name).write_bytes(library.read_bytes())
        (place.parent / "rsync").write_bytes((self.rsync / "usr/bin/rsync").read_bytes())
        (place.parent / "rsync").chmod(0o755)
        for name in ("bench-rsync", "bench-ansible"):
            unit = disk / f"etc/systemd/system/{name}.service"
            unit.write_text("[Service]\nExecStart=/bin/sleep infinity\n", encoding="utf-8")
        self.stage.run(self.ssh("systemctl daemon-reload && systemctl start bench-rsync bench-ansible"))

    def files(self, token: int) -> Path:
        """A directory with the files."""
        made = self.stage.directory / "files"
        made.mkdir(exist_ok=True)
        for number in range(FILES):
            (made / str(number)).write_text(text(number, token), encoding="utf-8")
        return made

    def verify(self, token: int, name: str) -> None:
        """The files stand on the host as they should. Raises `Failed`."""
        wanted = "".join(text(number, token) for number in range(FILES))
        found = self.stage.run(self.ssh(f"cd /etc/bench-{name} && ls | sort -n | xargs cat"))[1]
        if found != wanted:
            raise Failed(f"the work of {name} was not done")

    def _write(self, configuration: dict[str, object]) -> None:
        (self.stage.directory / "host.yaml").write_text(json.dumps(configuration), encoding="utf-8")
        (self.stage.directory / "bench.yaml").write_text(json.dumps({"configuration": "host.yaml"}), encoding="utf-8")


def text(number: int, token: int) -> str:
    """The content of a file."""
    return f"file {number} of change {token}\n" * 20


def measure_absence(bench: Bench, runs: int) -> list[Row]:
    """How long a service is away in a deployment, beside a restart alone."""
    tokens = dict.fromkeys(PORTS, 0)
    bench.configure(tokens)
    bench.stage.deploy()
    ours: dict[str, list[float]] = {name: [] for name in PORTS}
    alone: dict[str, list[float]] = {name: [] for name in PORTS}
    for _ in range(runs):
        for name in PORTS:
            alone[name].append(bench.absence(name, functools.partial(bench.restart, name)))
            tokens[name] += 1
            bench.configure(tokens)
            ours[name].append(bench.absence(name, bench.stage.deploy))
    return [row(work, "systemctl restart", ours[name], alone[name], entries=1) for name, work in WORKS.items()]


def measure_files(bench: Bench, runs: int, *, ansible: bool) -> list[Row]:
    """How long the change of all files takes."""
    times: dict[str, list[float]] = {"ours": [], "rsync + systemctl": []}
    if ansible:
        times["ansible copy"] = []
    for token in range(runs + 1):
        bench.configure_files(token)
        source = bench.files(token)
        took = {"ours": bench.stage.deploy(), "rsync + systemctl": bench.by_rsync(source)}
        verified = ["ours", "rsync"]
        # It transfers every file, the first time too; once it has taken so long, it is not asked again.
        if ansible and sum(times["ansible copy"]) < PATIENCE:
            times["ansible copy"].append(bench.by_ansible(source))
            verified.append("ansible")
        for name in verified:
            bench.verify(token, name)
        if token:
            for name, seconds in took.items():
                times[name].append(seconds)
    return [row("change-files", name, times["ours"], times[name], entries=FILES) for name in times if name != "ours"]


def bench(runs: int, *, ansible: bool) -> list[Row]:
    """Bring a lab up, measure, and take it down whatever happens."""
    name = f"bench-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="deployer-bench-") as directory:
        place = Path(directory)
        place.chmod(0o755)
        unpacked = unpack(place / "rsync")
        try:
            lab = asyncio.run(up(name, 1, owner=os.getpid()))
            made = Bench(Stage(lab, place), unpacked)
            made.prepare()
            return measure_absence(made, runs) + measure_files(made, runs, ansible=ansible)
        finally:
            previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
            asyncio.run(down(name))
            signal.signal(signal.SIGINT, previous)


def unpack(place: Path) -> Path:
    """rsync, out of Debian's packages. Raises `Failed`."""
    place.mkdir()
    fetched = subprocess.run(["apt-get", "download", *RSYNC], cwd=place, capture_output=True, text=True, check=False, timeout=300)
    if fetched.returncode:
        raise Failed(f"rsync could not be fetched: {fetched.stderr.strip()[-300:]}")
    for package in place.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(place)], check=True, timeout=60)
    return place


def main() -> int:
    """Run the benchmark; 1 if it failed."""
    parser = argparse.ArgumentParser(prog="script/bench switch")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--without-ansible", action="store_true", help="it takes minutes")
    given = parser.parse_args()
    try:
        results = bench(given.runs, ansible=not given.without_ansible)
    except (Failed, subprocess.SubprocessError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    report(results, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
