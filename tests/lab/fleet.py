"""A controller of a test's own: an inventory and configurations in a directory, and the real `deployer` as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deployer.lab import Lab, LabHost

TIMEOUT = 200


@dataclass(frozen=True, slots=True)
class Run:
    """One command that has ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.stdout + self.stderr

    @property
    def documents(self) -> list[dict[str, Any]]:
        """What it printed with `--json`."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def events(self, *names: str, host: str | None = None) -> list[dict[str, Any]]:
        """Its events of these names, or all; of one host, or of all."""
        found = [document for document in self.documents if "event" in document and (not names or document["event"] in names)]
        return [event for event in found if host is None or event.get("host") == host]

    @property
    def end(self) -> dict[str, Any]:
        """Its `rollout_finished`."""
        return self.events("rollout_finished")[-1]


class Running:
    """One command that is under way, with `--json`, in a process group of its own."""

    def __init__(self, arguments: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            arguments,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.seen: list[dict[str, Any]] = []

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def events(self) -> Iterator[dict[str, Any]]:
        """What it prints, as it prints it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.seen.append(json.loads(line))
            yield self.seen[-1]

    def until(self, name: str, **fields: Any) -> dict[str, Any]:
        """Read on to the event of this name and with these fields."""
        for event in self.events():
            if event.get("event") == name and all(event.get(key) == value for key, value in fields.items()):
                return event
        raise AssertionError(f"it ended before {name} {fields}: {self.seen[-5:]}")

    def wait(self) -> int:
        """Read to the end; its exit code."""
        for _ in self.events():
            pass
        return self._process.wait(TIMEOUT)

    def kill(self) -> None:
        """End it and all that it started on the spot, as a crash of the controller would."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Fleet:
    """What `deployer -i inventory.yaml` reads, and where it writes.

    `configuration` of a host is `host.yaml`, which `configure` writes, unless `configurations` names another for it.
    """

    def __init__(self, directory: Path, lab: Lab, *hosts: LabHost) -> None:
        """Nothing is written yet."""
        self.directory, self.lab, self.hosts = directory, lab, hosts
        self.connections: dict[str, dict[str, Any]] = {}
        """By host: keys of its connection that are not as the lab has them."""
        self.configurations: dict[str, str] = {}
        self.labels: dict[str, dict[str, str]] = {}
        self.rollout: dict[str, Any] = {}
        self.machine = ""
        """The name of the machine that the controller runs on, where that is not this one's."""
        self.packages: dict[str, Any] = {}

    def write(self, name: str, content: str) -> Path:
        """A file beside the inventory."""
        (self.directory / name).write_text(content, encoding="utf-8")
        return self.directory / name

    def configure(self, configuration: Mapping[str, Any], name: str = "host.yaml") -> None:
        """Write a configuration."""
        self.write(name, yaml.safe_dump(dict(configuration)))

    def run(self, *arguments: str) -> Run:
        """Run `deployer` to its end."""
        done = subprocess.run(
            self._command(arguments),
            check=False,
            cwd=self.directory,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def deploy(self, *arguments: str) -> Run:
        """`deployer deploy --json`."""
        return self.run("deploy", "--json", "--yes", *arguments)

    def start(self, *arguments: str) -> Running:
        """Start `deployer … --json`, and do not wait for it."""
        return Running([*self._command(arguments), "--json"], self.directory, self._environment())

    def _command(self, arguments: Sequence[str]) -> list[str]:
        self.write("inventory.yaml", yaml.safe_dump(self._inventory()))
        self.write("packages.yaml", yaml.safe_dump(self.packages))
        named = ["unshare", "--uts", "/bin/sh", "-c", 'hostname "$0" && exec "$@"', self.machine] if self.machine else []
        return [*named, sys.executable, "-m", "deployer", *arguments]

    def _inventory(self) -> dict[str, Any]:
        known = yaml.safe_load(self.lab.inventory.read_text(encoding="utf-8"))["hosts"]
        hosts = {
            host.name: {
                "connection": {**known[host.name]["connection"], **self.connections.get(host.name, {})},
                "configuration": self.configurations.get(host.name, "host.yaml"),
                "labels": self.labels.get(host.name, {}),
            }
            for host in self.hosts
        }
        return {"hosts": hosts, "rollout": self.rollout, "packages": "packages.yaml"}

    def _environment(self) -> dict[str, str]:
        own = {f"XDG_{name}_HOME": str(self.directory / name.lower()) for name in ("DATA", "STATE", "CACHE")}
        return {**os.environ, **own}
