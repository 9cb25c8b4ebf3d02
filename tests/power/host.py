"""A host on a virtual machine: what a controller does to it, and how it stands."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deployer.generation.runtime import runtime
from tests.crash.patient import Standing, comes_and_goes, left_behind
from tests.machines.machine import Machine
from tests.power.generations import UNITS

_ONLOOKER: Final = "/run/onlooker"
"""In memory: it goes with the power."""
_SOURCES: Final = ("agent.py", "trees.py")
_COPIED: Final = ("nix/store/", "nix/var/deployer/gcroots/", "var/lib/deployer/profile/", "var/lib/deployer/pushed")
"""What a copy brings and a collection takes away, beside an activation."""
_CURRENT: Final = "var/lib/deployer/profile/current"
_PATIENCE: Final = 240.0
_POLL_SECONDS: Final = 0.5
_WORKING: Final = "systemctl show --property=ActiveState --value deployer-activation.service deployer-collect.service"
"""The activation is asked for first: it begins the collection, and then ends."""


@dataclass(frozen=True)
class Seen:
    """A host that is left alone, at one moment."""

    transaction: str
    state: str
    """In which that transaction stands, the last one."""
    standing: Standing
    wrong: tuple[str, ...]
    """What must not be so on any host."""

    def differences(self, expected: Seen, *, copied: bool) -> list[str]:
        """What is otherwise than expected; with `copied`, also of what copies and collections change."""
        return expected._comparable(copied).difference(self._comparable(copied))

    def _comparable(self, copied: bool) -> Standing:
        disk = self.standing.disk
        kept = {path: about for path, about in disk.items() if copied or path == _CURRENT or not path.startswith(_COPIED)}
        return Standing(kept, self.standing.units)


def look(machine: Machine) -> Seen:
    """Look, once nothing is under way any more, and the host has finished what it finishes before any request."""
    with _agent(machine) as agent:
        deadline = time.monotonic() + _PATIENCE
        while _busy(seen := agent.ask("look", names=UNITS)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        agent.ask("request")
        seen, disk = agent.ask("look", names=UNITS), agent.ask("disk")
        wrong = [f"left over: {found}" for found in left_behind(disk, seen)]
        wrong += [f"red: {line}" for line in seen["red"]]
        wrong += [f"systemd says {seen['health']}"] * (seen["health"] != "running")
        wrong += [f"damaged: {found}" for found in agent.ask("verify")]
        wrong += [f"generations without a system: {lost}" for lost in agent.ask("lost")]
    disk = {path: tuple(about) for path, about in disk.items() if not comes_and_goes(path, about)}
    return Seen(seen["transaction"], seen["state"], Standing(disk, seen["units"]), tuple(wrong))


def await_collection(machine: Machine) -> None:
    """Until what a deployment had collected afterwards is gone."""
    deadline = time.monotonic() + _PATIENCE
    while {"active", "activating"} & {*machine.run(_WORKING).split()}:
        assert time.monotonic() < deadline
        time.sleep(_POLL_SECONDS)


def _busy(seen: dict[str, Any]) -> bool:
    return bool(seen["driven"] or seen["red"] or seen["health"] not in ("running", "degraded"))


class _Agent:
    """What looks, on the machine itself."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, verb: str, **fields: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"verb": verb, **fields}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "the agent ended"}')
        assert "ok" in answer, answer
        return answer["ok"]


@contextlib.contextmanager
def _agent(machine: Machine) -> Iterator[_Agent]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in _SOURCES:
            archive.add(Path(__file__).parent.parent / "crash" / name, name)
    link = f"ln -sfn {runtime('/nix/store').path} {_ONLOOKER}/runtime"
    machine.run(f"mkdir -p {_ONLOOKER} && tar -x -C {_ONLOOKER} && {link}", stdin=packed.getvalue())
    command = machine.ssh(f"exec /usr/bin/python3 -I {_ONLOOKER}/agent.py")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield _Agent(process)
        process.communicate(timeout=60)
