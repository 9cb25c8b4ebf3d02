"""A host in a temporary directory: real files, a store of real directories, and a PID 1 that remembers in a file.

The units of this PID 1 are what `/etc/systemd/system` says when it reloads, so that a rollback that forgets a file or a
reload shows. `tests/lab` runs the same flows against the real systemd.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from deployer.formats.manifest import Check, EtcEntry, Manifest, Timing, Unit
from deployer.formats.messages import Activation
from deployer.host.clock import Clock
from deployer.host.disk import Disk
from deployer.host.machine import Machine, StorePort, SystemdPort, SystemPort, UnitStatus
from deployer.host.preloading import PLACE
from deployer.host.refusals import SystemLost
from deployer.host.transaction import Moment

TOKEN = "a token"
TOKEN_SHA256 = hashlib.sha256(TOKEN.encode()).hexdigest()


class FileBacked:
    """A JSON document that outlives the process that is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before_save: Callable[[], None] = lambda: None

    def load(self) -> dict[str, Any]:
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def save(self, document: dict[str, Any]) -> None:
        self.before_save()
        temporary = self.path.with_suffix(f".{threading.get_ident()}")
        temporary.write_text(json.dumps(document))
        temporary.rename(self.path)


class WorldSystemd(SystemdPort):
    """PID 1, as far as the transaction can tell."""

    def __init__(self, root: Path, memory: FileBacked) -> None:
        self._root, self._memory = root, memory

    def daemon_reload(self, *, patient: bool = False) -> None:
        document = self._memory.load()
        units = self._root / "etc/systemd/system"
        texts = {}
        if units.is_dir():
            for path in units.iterdir():
                real = self._resolve(path)
                if real is not None and real.is_file():
                    texts[path.name] = real.read_text()
        preloaded = {path.name: path.read_text() for path in (self._root / PLACE[1:]).glob("*.service")}
        document["texts"], document["preloaded"] = {**texts, **preloaded}, sorted(preloaded)
        self._memory.save(document)

    def states(self, names: Collection[str]) -> Mapping[str, UnitStatus]:
        document = self._memory.load()
        texts, active = document.get("texts", {}), document.get("active", {})
        timers = document.get("timers", {})
        return {
            name: UnitStatus(
                "loaded" if name in texts or name in timers else "not-found",
                "active" if name in active or name in timers else "inactive",
                fragment=f"{PLACE}/{name}" if name in document.get("preloaded", ()) else "",
            )
            for name in names
        }

    def change(self, verb: str, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        document = self._memory.load()
        active = document.setdefault("active", {})
        failures = {}
        for name in names:
            text = document.get("texts", {}).get(name)
            if verb in ("stop", "restart"):
                active.pop(name, None)
            if verb != "stop":
                if text is None or "fails" in text:
                    failures[name] = "it did not start"
                    active.pop(name, None)
                else:
                    active[name] = self._as_started(name, text)
        self._memory.save(document)
        return failures

    def queue(self, verb: str, names: Sequence[str]) -> None:
        document = self._memory.load()
        texts, active = document.get("texts", {}), document.setdefault("active", {})
        for name in names:
            if verb == "stop":
                active.pop(name, None)
            elif name == "default.target":
                active.update({unit: text for unit, text in texts.items() if unit.startswith("web")})
        self._memory.save(document)

    def forget_failures(self, names: Sequence[str]) -> None:
        pass

    def start_service(self, name: str, command: Sequence[str], properties: Mapping[str, str], *, wait: bool = True) -> None:
        """Those that wait; the world drives its transactions itself."""
        document = self._memory.load()
        document.setdefault("timers", {})[name] = list(command)
        self._memory.save(document)

    def start_timer(self, name: str, command: Sequence[str], seconds: float, again: float) -> None:
        document = self._memory.load()
        document.setdefault("timers", {})[f"{name}.timer"] = seconds
        self._memory.save(document)

    def kill(self, name: str) -> None:
        self.discard(name)

    def discard(self, *names: str) -> None:
        document = self._memory.load()
        for name in names:
            document.setdefault("timers", {}).pop(name, None)
        self._memory.save(document)

    def log_tail(self, name: str, lines: int) -> Sequence[str]:
        return [f"{name} says why"]

    def request_reboot(self) -> None:
        document = self._memory.load()
        document["requests"] = document.get("requests", 0) + 1
        self._memory.save(document)

    def requested_reboots(self) -> int:
        return int(self._memory.load().get("requests", 0))

    def reboot(self) -> None:
        """Everything in memory is gone, and whoever looked on; nothing runs yet."""
        self._memory.before_save = lambda: None
        shutil.rmtree(self._root / "run/deployer", ignore_errors=True)
        shutil.rmtree(self._root / PLACE[1:], ignore_errors=True)
        document = self._memory.load()
        document.update(active={}, timers={}, boots=document.get("boots", 0) + 1)
        self._memory.save(document)
        self.daemon_reload()

    def active(self) -> dict[str, str]:
        """What runs, with the text that it was started with."""
        return dict(self._memory.load().get("active", {}))

    def timers(self) -> list[str]:
        return sorted(self._memory.load().get("timers", {}))

    def memory(self) -> dict[str, Any]:
        """All that it knows."""
        return self._memory.load()

    def command_of(self, name: str) -> list[str]:
        """What a service of ours was started with."""
        return list(self._memory.load()["timers"][name])

    def waiting(self, name: str) -> list[str]:
        """The command of a transient service."""
        return list(self._memory.load().get("timers", {})[name])

    def boots(self) -> int:
        return int(self._memory.load().get("boots", 0))

    def _as_started(self, name: str, text: str) -> str:
        """What a unit starts with: not how it stops, but the variables that a file has for it."""
        variables = self._root / PLACE[1:] / f"{name}.environment"
        return text.partition("\n\n[Service]\nExecStop=\n")[0] + (variables.read_text() if variables.exists() else "")

    def _resolve(self, path: Path) -> Path | None:
        for _ in range(8):
            if not path.is_symlink():
                return self._through(path)
            target = os.readlink(path)
            path = self._root / target.lstrip("/") if target.startswith("/") else path.parent / target
            path = self._through(path) or path
        return None

    def _through(self, path: Path) -> Path | None:
        """Follow links in the directories of `path`, below the root."""
        at = self._root
        for part in path.relative_to(self._root).parts:
            at = at / part
            for _ in range(4):
                if not at.is_symlink() or part == path.name:
                    break
                target = os.readlink(at)
                at = self._root / target.lstrip("/") if target.startswith("/") else at.parent / target
        return at


class WorldStore(StorePort):
    """Systems as plain directories."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def interpreter(self) -> str:
        return ""

    def is_valid(self, path: str) -> bool:
        return path.startswith("/nix/store/") and (self._root / path.lstrip("/")).is_dir()

    def manifest(self, system: str) -> Manifest:
        if not system:
            return Manifest()
        try:
            return Manifest.from_bytes((self._root / system.lstrip("/") / "manifest.json").read_bytes())
        except FileNotFoundError:
            raise SystemLost(system) from None

    def runtime(self, system: str) -> str:
        return "/nix/store/runtime" if self.is_valid(system) else ""

    def hold(self, roots: Mapping[str, str]) -> None:
        (self._root / "nix/roots.json").write_text(json.dumps(dict(roots), sort_keys=True))

    def remove(self) -> None:
        shutil.rmtree(self._root / "nix", ignore_errors=True)


class WorldSystem(SystemPort):
    """Kernel settings in a file."""

    def __init__(self, root: Path, memory: FileBacked) -> None:
        self._root, self._memory = root, memory

    def sysctl(self, key: str) -> str | None:
        return self._memory.load().get(key)

    def architecture(self):
        return "x86_64"

    def may_set_sysctl(self, key: str) -> bool:
        return key not in self._memory.load().get("sealed", ())

    def set_sysctl(self, key: str, value: str) -> None:
        document = self._memory.load()
        document[key] = value
        self._memory.save(document)

    def make_tmpfiles(self, path: str) -> None:
        (self._root / "var/lib/made").mkdir(parents=True, exist_ok=True)

    def accounts(self, database: str, keys: Sequence[str]) -> Mapping[str, int]:
        known = self._memory.load().get(f"elsewhere {database}", {})
        return {name: number for name, number in known.items() if name in keys or str(number) in keys}

    def judge(self, command: Sequence[str]) -> str:
        """Refuses the first file that holds the word `wrong` of those that it is given, or given a copy of."""
        given = [self._root / word.lstrip("/") for word in command if word.startswith("/nix/store/")]
        for place in (*given, *sorted((self._root / "var/lib/deployer/verify").rglob("*"))):
            if place.is_file() and "wrong" in place.read_text():
                return f"/{place.relative_to(self._root)}: it is wrong"
        return ""

    def relabel(self, paths: Sequence[str]) -> None:
        document = self._memory.load()
        self._memory.save({**document, "labelled": [*document.get("labelled", []), *paths]})

    def labels(self, disk: Disk) -> None:
        return None

    def forget_accounts(self) -> None:
        pass


class WorldClock(Clock):
    """Time that passes only when somebody waits."""

    def __init__(self, systemd: WorldSystemd) -> None:
        self.seconds, self._systemd = 1000.0, systemd

    def now(self) -> Moment:
        return Moment(self.seconds, f"boot-{self._systemd.boots()}")

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def wall(self) -> str:
        return "2026-01-01T00:00:00Z"


class World:
    """One host."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        memory = directory / "memory"
        self._memories = [FileBacked(memory / name) for name in ("systemd.json", "sysctl.json")]
        if not self.root.exists():
            (self.root / "etc/systemd/system").mkdir(parents=True)
            (self.root / "var/lib").mkdir(parents=True)
            (self.root / "run/systemd").mkdir(parents=True)
            (self.root / "nix/store").mkdir(parents=True)
            memory.mkdir()
            for name, text in ACCOUNTS.items():
                (self.root / "etc" / name).write_text(text)
                os.utime(self.root / "etc" / name, (1, 1))
            (self.root / "etc/motd").write_text("welcome\n")
            os.chmod(self.root / "etc/motd", 0o640)
            os.utime(self.root / "etc/motd", (12345, 12345))
            self._memories[1].save({"net.ipv4.ip_forward": "0"})
        self.systemd = WorldSystemd(self.root, self._memories[0])
        self.store = WorldStore(self.root)
        self.system = WorldSystem(self.root, self._memories[1])

    def machine(self, before_effect: Callable[[str, str], None] = lambda operation, path: None) -> Machine:
        """Its parts, as one process has them. What it does to PID 1 and to the kernel is announced as effects on the disk are."""
        for memory in self._memories:
            memory.before_save = partial(before_effect, "change", memory.path.stem)
        disk = Disk(self.root, before_effect)
        return Machine(disk, self.systemd, self.store, self.system, WorldClock(self.systemd), ("python3", "-I"))

    def add_system(self, name: str, manifest: Manifest, files: Mapping[str, str]) -> str:
        """Write a system into the store; hashes of files are filled in."""
        path = f"/nix/store/{hashlib.sha256(name.encode()).hexdigest()[:32]}-{name}"
        place = self.root / path.lstrip("/")
        for relative, text in files.items():
            (place / "etc" / relative).parent.mkdir(parents=True, exist_ok=True)
            (place / "etc" / relative).write_text(text)
        place.mkdir(parents=True, exist_ok=True)
        (place / "manifest.json").write_bytes(manifest.to_bytes())
        return path

    def etc(self) -> dict[str, tuple[Any, ...]]:
        """All of /etc: kind, content, mode, owner. The lock of the account files is no content: nobody may ever remove it."""
        found: dict[str, tuple[Any, ...]] = {}
        for place in sorted((self.root / "etc").rglob("*")):
            status = place.lstat()
            name = str(place.relative_to(self.root / "etc"))
            if name == ".pwd.lock":
                continue
            mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
            if place.is_symlink():
                found[name] = ("link", os.readlink(place))
            elif place.is_dir():
                found[name] = ("directory", mode, owner)
            else:
                found[name] = ("file", place.read_bytes(), mode, owner)
        return found

    def times(self) -> dict[str, int]:
        """When each real file of /etc was last changed; the lock of the account files is no content."""
        places = (place for place in (self.root / "etc").rglob("*") if place.name != ".pwd.lock")
        files = (place for place in places if place.is_file() and not place.is_symlink())
        return {str(place.relative_to(self.root / "etc")): place.stat().st_mtime_ns for place in files}


ACCOUNTS = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\n",
    "group": "root:x:0:\nshadow:x:42:\nalice:x:1000:\n",
    "shadow": "root:*:19000:0:99999:7:::\nalice:!:19000:0:99999:7:::\n",
    "gshadow": "root:*::\nshadow:*::\nalice:!::\n",
}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def link(path: str, text: str, *, replace: bool = False) -> EtcEntry:
    return EtcEntry(path, "link", digest(text), replace=replace)


def real_file(path: str, text: str, *, mode: str = "0644", replace: bool = False) -> EtcEntry:
    return EtcEntry(path, "file", digest(text), mode=mode, replace=replace)


def activation(system: str, previous: str = "", number: int = 1, **more: Any) -> Activation:
    return Activation(system, f"{number:032x}", "alice@laptop", TOKEN_SHA256, previous=previous, **more)


__all__ = ["Check", "Timing", "Unit"]
