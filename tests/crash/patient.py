"""One long-lived lab host that is brought back to where it was before each crash, and looked at after it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deployer.errors import JsonValue
from deployer.formats.frames import encode_data, encode_document, encode_end
from deployer.formats.manifest import Manifest
from deployer.formats.messages import Activation
from deployer.formats.pathstream import encode_end as path_stream_end
from deployer.generation.runtime import runtime, runtime_files
from deployer.lab import LabHost
from deployer.lab.machines import leader
from deployer.store import Store
from tests.crash.trees import PLACES, listing, mirror

TOKEN: Final = "a token"
TRANSACTION: Final = "1" * 32
"""The one that is cut off."""
ARRANGED: Final = "0" * 32
"""Those before it."""
OURS: Final = "var/lib/deployer"
_PATIENCE: Final = 20.0
_AGENT: Final = Path("run/crash-agent")
_SOURCES: Final = ("agent.py", "tracer.py")
_COMING_AND_GOING: Final = (f"{OURS}/transaction", f"{OURS}/quarantine", f"{OURS}/journal", f"{OURS}/state", f"{OURS}/lock")
"""What tells of the last transaction, and not of where the host stands."""
_OTHERS_TO_SWEEP: Final = tuple(
    f"{OURS}/transaction/.deployer-{hashlib.sha256(name).hexdigest()[:16]}" for name in (b"confirmation", b"cancellation")
)
"""What a connection was writing when it was cut off: a driver that removed it could rob another connection."""


@dataclass(frozen=True)
class Standing:
    """Where a host stands: equal for equal hosts."""

    disk: dict[str, tuple[Any, ...]]
    units: dict[str, Any]

    def difference(self, other: Standing) -> list[str]:
        """What is otherwise on the other, for people."""
        lines = []
        for name in ("disk", "units"):
            mine, theirs = getattr(self, name), getattr(other, name)
            lines += [
                f"{key}: {mine.get(key)} | {theirs.get(key)}"
                for key in sorted({*mine, *theirs})
                if mine.get(key) != theirs.get(key)
            ]
        return lines


@dataclass(frozen=True)
class Start:
    """A host before a piece of work."""

    saved: Path
    standing: Standing


class Patient:
    """A lab host with an agent on it."""

    def __init__(self, host: LabHost, directory: Path, *, units: tuple[str, ...], reboot: Callable[[], None]) -> None:
        """`units` are those whose state counts; `reboot` crashes the host and boots it."""
        self.host, self.root = host, host.disk / "root"
        self._units, self._directory, self._reboot = units, directory, reboot
        self._agent: subprocess.Popen[str] | None = None
        self.store = Store(directory / "store")
        """Of the controller."""
        runtime("/nix/store").add_to(self.store)

    # -- before ----------------------------------------------------------------------------------------------------------

    def system(self, name: str, manifest: Manifest, files: dict[str, str]) -> str:
        """Have a system in the host's store."""
        manifest = dataclasses.replace(manifest, runtime=str(runtime("/nix/store").path))
        with tempfile.TemporaryDirectory(dir=self._directory) as place:
            tree = Path(place) / "tree"
            for path, text in {
                "manifest.json": manifest.to_bytes().decode(),
                **{f"etc/{path}": files[path] for path in files},
            }.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_text(text)
            system = str(self.store.add_tree(name, tree))
        self.run("serve", frames=self.stream(manifest.runtime, system))
        return system

    def stream(self, *paths: str) -> bytes:
        """The request that copies paths to the host."""
        stream = bytearray()
        for path in paths:
            stream += self.store.header(path).encode()
            self.store.write_nar(path, stream.extend)
        stream += path_stream_end()
        asked: dict[str, JsonValue] = {"id": 1, "verb": "import", "compression": "zlib", "paths": len(paths)}
        return encode_document(asked) + encode_data(zlib.compress(bytes(stream))) + encode_end()

    def save(self, name: str) -> Start:
        """The host as it is now."""
        saved = self._directory / name
        for place in PLACES:
            mirror(self.root, saved, place)
        return Start(saved, self.look())

    def restore(self, start: Start) -> None:
        """Bring the host back to where it was, files first, then what runs."""
        for place in PLACES:
            mirror(start.saved, self.root, place)
        seen = self.state()
        if seen["units"] != start.standing.units or seen["transient"] or seen["health"] != "running":
            active = {name: command for name, (state, command) in start.standing.units.items() if state == "active"}
            self._ask("units", active=active, names=self._units)

    # -- doing -----------------------------------------------------------------------------------------------------------

    def run(
        self, *command: str, fault: dict[str, Any] | None = None, frames: bytes = b"", plainly: bool = False
    ) -> dict[str, Any]:
        """A command of the runtime's, under the tracer, or `plainly`."""
        if frames:
            self._agent = self._agent or self._start()
            (self._outside() / "frames").write_bytes(frames)
        done: dict[str, Any] = self._ask("run", command=command, fault=fault, plainly=plainly)
        return done

    def prepare(self, system: str, previous: str, *, confirmed: bool = True, transaction: str = TRANSACTION) -> None:
        """A transaction that is ready to be driven, and whose confirmation has come already."""
        asked = activation(system, previous, transaction).to_document()
        assert self._ask("prepare", activation=asked, token=TOKEN if confirmed else "") == "prepared"

    def request(self) -> str:
        """What the next request does first."""
        return str(self._ask("request"))

    def within(self, *command: str) -> str:
        """What a program on the host says."""
        process = leader(self.host)
        assert process is not None, "the host is down"
        enter = ["nsenter", f"--target={process}", "--all", "--root", "--wd"]
        done = subprocess.run([*enter, *command], check=False, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    def reboot(self) -> None:
        """The host crashes, and boots."""
        self.hang_up()
        self._reboot()

    def hang_up(self) -> None:
        """The agent goes, for the host is going to."""
        if self._agent is not None:
            self._agent.communicate(timeout=30)
            self._agent = None

    # -- after -----------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What the host itself tells."""
        seen: dict[str, Any] = self._ask("look", names=self._units)
        return seen

    def at_rest(self) -> dict[str, Any]:
        """The same, once no service drives a transaction."""
        end = time.monotonic() + _PATIENCE
        while (seen := self.state())["driven"] and time.monotonic() < end:
            time.sleep(0.1)
        return seen

    def settled(self) -> dict[str, Any]:
        """The same, once nothing is under way any more: neither a boot, nor a transaction's service, nor a start of a unit."""
        end = time.monotonic() + _PATIENCE
        while True:
            seen = self.state()
            busy = seen["driven"] or seen["red"] or seen["health"] not in ("running", "degraded")
            if not busy or time.monotonic() > end:
                return seen
            time.sleep(0.1)

    def look(self) -> Standing:
        """Where the host stands."""
        return self.standing(self.listing(), self.state())

    def listing(self) -> dict[str, tuple[Any, ...]]:
        """All of the disk that we may have written to."""
        return {path: about for place in PLACES for path, about in listing(self.root, place).items()}

    def standing(self, disk: dict[str, tuple[Any, ...]], seen: dict[str, Any]) -> Standing:
        """All of it that a user could tell, and all that we keep."""
        return Standing({path: about for path, about in disk.items() if not comes_and_goes(path, about)}, seen["units"])

    def left_over(self, disk: dict[str, tuple[Any, ...]], seen: dict[str, Any]) -> list[str]:
        """What must not be there once a transaction has ended."""
        found = left_behind(disk, seen)
        lock = self.root / OURS / "lock"
        if lock.exists() and subprocess.run(["flock", "-n", str(lock), "true"], check=False).returncode != 0:
            found.append("the lock is held")
        return found

    def collect(self) -> list[str]:
        """Run the collector of the host's store; what lies aside there afterwards."""
        if not (self.root / "nix/var/deployer").exists():
            return []
        self._ask("collect")
        return [path.name for path in (self.root / "nix/store/.making").glob("*")]

    def damage(self) -> list[str]:
        """What is wrong with the store."""
        found: list[str] = self._ask("verify") if (self.root / "nix/var/deployer").exists() else []
        return found

    # -- the agent -------------------------------------------------------------------------------------------------------

    def _outside(self) -> Path:
        process = leader(self.host)
        assert process is not None, "the host is down"
        return Path(f"/proc/{process}/root") / _AGENT

    def _ask(self, verb: str, **fields: Any) -> Any:
        agent = self._agent or self._start()
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(json.dumps({"verb": verb, **fields}) + "\n")
        agent.stdin.flush()
        line = agent.stdout.readline()
        assert line, "the agent ended"
        answer = json.loads(line)
        assert "ok" in answer, answer
        return answer["ok"]

    def _start(self) -> subprocess.Popen[str]:
        place = self._outside()
        place.mkdir(parents=True, exist_ok=True)
        for name in _SOURCES:
            shutil.copy(Path(__file__).with_name(name), place / name)
        for name, content in runtime_files().items():
            (place / "runtime" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "runtime" / name).write_bytes(content)
        process = leader(self.host)
        enter = ["nsenter", f"--target={process}", "--all", "--root", "--wd"]
        self._agent = subprocess.Popen(
            [*enter, "/usr/bin/python3", "-I", f"/{_AGENT}/agent.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"]},
        )
        return self._agent


def activation(system: str, previous: str, transaction: str = TRANSACTION) -> Activation:
    """What a controller asks for."""
    return Activation(system, transaction, "crash@test", hashlib.sha256(TOKEN.encode()).hexdigest(), previous=previous)


def left_behind(disk: dict[str, tuple[Any, ...]], seen: dict[str, Any]) -> list[str]:
    """What must not be there once a transaction has ended. What a copy left aside is the collector's to sweep."""
    found = [path for path in disk if "deployer-recover" in path or ("/.deployer-" in path and path not in _OTHERS_TO_SWEEP)]
    found += [path for path in (f"{OURS}/reserve", f"{OURS}/transaction/ledger.json") if path in disk]
    return found + [seen["transient"]] * bool(seen["transient"])


def comes_and_goes(path: str, about: tuple[Any, ...]) -> bool:
    """Whether something tells of the last transaction, or of the store's doings, and not of where the host stands."""
    database = path.startswith("nix/var/deployer/") and not path.startswith("nix/var/deployer/gcroots")
    ours = path.startswith((OURS, "nix/var/deployer")) and about[0] == "directory"
    return database or ours or path.startswith((*_COMING_AND_GOING, "nix/store/.links", "nix/store/.making"))
