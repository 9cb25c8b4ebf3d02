"""Labs: bringing one up, taking it down, finding those there are."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from deployer.errors import raise_all
from deployer.lab import cgroups, disks, files, machines, network
from deployer.lab.bases import FULL, Base, ensure_base
from deployer.lab.errors import LabBusy, LabNotClean, NoSuchLab, NoSuchLabHost, OutOfAddresses
from deployer.lab.needs import missing_needs, raise_inotify_limits
from deployer.lab.places import DEFAULT_LAB, check_name, directory_of, known_labs
from deployer.lab.record import CGROUP, MACHINE, NAMESPACE, UNIT, Entry, Record

_LOCK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class LabHost:
    """One host of a lab."""

    lab: str
    name: str
    number: int
    """The last part of its address."""
    release: str
    base: str

    @property
    def address(self) -> str:
        """Its address, as seen from the lab's network."""
        return network.address_of(self.number)

    @property
    def directory(self) -> Path:
        """The directory of its lab."""
        return directory_of(self.lab)

    @property
    def disk(self) -> Path:
        """The directory of its overlay: `root` is its file system, `upper` what it changed."""
        return self.directory / "hosts" / self.name

    @property
    def namespace(self) -> Path:
        """The file of its network namespace."""
        return network.NETNS / network.namespace_of(self.lab, self.name)

    @property
    def console(self) -> Path:
        """What it printed while booting."""
        return self.directory / "consoles" / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """Holds the process id of its systemd-nspawn."""
        return self.directory / "pids" / self.name

    @property
    def host_key(self) -> Path:
        """Its private host key; the public one is beside it with the suffix `.pub`."""
        return self.directory / "host-keys" / self.name


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab, with the files that controllers read."""

    name: str
    hosts: tuple[LabHost, ...]

    @property
    def directory(self) -> Path:
        """All that the lab keeps."""
        return directory_of(self.name)

    @property
    def namespace(self) -> Path:
        """The file of the network namespace in which controllers run."""
        return network.NETNS / network.namespace_of(self.name)

    @property
    def inventory(self) -> Path:
        """The hosts with their connections, in our own format."""
        return self.directory / "inventory.yaml"

    @property
    def known_hosts(self) -> Path:
        """The hosts' keys, by name and by address."""
        return self.directory / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """For OpenSSH and testinfra: `ssh -F … host1`."""
        return self.directory / "ssh_config"

    @property
    def identity_file(self) -> Path:
        """The private key that may log in as root."""
        return self.directory / "key"

    def host(self, name: str) -> LabHost:
        """The host of this name. Raises `NoSuchLabHost`."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise NoSuchLabHost(name, self.name, tuple(host.name for host in self.hosts))


async def up(
    name: str = DEFAULT_LAB,
    count: int = 3,
    *,
    release: str = "bookworm",
    base: str = FULL,
    hosts: Sequence[str] = (),
    owner: int | None = None,
    in_memory: bool = False,
    on_build: Callable[[Base], None] = lambda base: None,
) -> Lab:
    """Bring a lab up with at least these hosts, all of them `running`.

    `hosts` names them; otherwise they are `host1`, `host2` … up to `count`. Hosts that the lab has already stay as they are, and
    are booted where they are down: so a run that was killed is completed by running it again, and a lab can grow.
    `owner` is the process for which the lab lives: `down_orphans` removes it once that process has ended. `in_memory`: the disks
    of a new lab's hosts are in memory, where syncing costs nothing.
    """
    raise_all(missing_needs())
    names = tuple(check_name(host) for host in hosts) or tuple(f"host{number}" for number in range(1, count + 1))
    tree = Base(release, base)
    directory = directory_of(check_name(name))
    async with _changing(name):
        raise_inotify_limits()
        await ensure_base(tree, on_build)
        _make_directory(directory, owner)
        record = Record(directory / "record")
        lab = _read(name)
        wanted = _assign(lab, [host for host in names if host not in {old.name for old in lab.hosts}], tree)
        await disks.make_key(lab.identity_file, f"lab {name}")
        if not lab.namespace.exists() or not lab.hosts:
            record.note(NAMESPACE, network.namespace_of(name))
            await network.make_controller(name)
        if not (directory / "hosts").is_dir():
            await disks.prepare_home(directory / "hosts", record, in_memory=in_memory)
        for host in wanted:
            await _make_host(host, record)
        lab = Lab(name, (*lab.hosts, *wanted))
        await files.write(lab)
        _save(lab)
        await machines.start(*lab.hosts)
    return lab


async def down(name: str = DEFAULT_LAB) -> None:
    """Take a lab down: undo its record, backwards. Raises `LabNotClean` where something could not be removed."""
    directory = directory_of(name)
    if not directory.is_dir():
        raise NoSuchLab(name, known_labs())
    async with _changing(name):
        left = await _undo(Record(directory / "record").entries()) or disks.mounted_below(directory)
        if left:
            raise LabNotClean(name, left)
        shutil.rmtree(directory)


async def down_all() -> tuple[str, ...]:
    """Take all labs of this machine down; their names."""
    names = known_labs()
    for name in names:
        await down(name)
    return names


async def down_orphans() -> tuple[str, ...]:
    """Take down those labs whose owner, the process that they were made for, has ended; their names."""
    orphans = tuple(name for name in known_labs() if _is_orphan(directory_of(name)))
    for name in orphans:
        with contextlib.suppress(LabBusy, NoSuchLab):
            await down(name)
    return orphans


def load(name: str = DEFAULT_LAB) -> Lab:
    """The lab of this name. Raises `NoSuchLab`."""
    if not (directory_of(name) / "lab.json").is_file():
        raise NoSuchLab(name, known_labs())
    return _read(name)


def labs() -> tuple[Lab, ...]:
    """All labs of this machine, also those half made."""
    return tuple(_read(name) for name in known_labs())


def _assign(lab: Lab, names: Sequence[str], base: Base) -> tuple[LabHost, ...]:
    """New hosts with the lowest free numbers."""
    most = network.LAST - network.FIRST + 1
    if len(lab.hosts) + len(names) > most:
        raise OutOfAddresses(len(lab.hosts) + len(names), most)
    taken = {host.number for host in lab.hosts}
    free = (number for number in range(network.FIRST, network.LAST + 1) if number not in taken)
    return tuple(LabHost(lab.name, name, number, base.release, base.variant) for name, number in zip(names, free, strict=False))


async def _make_host(host: LabHost, record: Record) -> None:
    left = await _undo(record.entries(host.name))  # what a killed run left of it
    if left:
        raise LabNotClean(host.lab, left)
    record.forget(host.name)
    record.note(NAMESPACE, network.namespace_of(host.lab, host.name), host.name)
    await network.make_host(host.lab, host.name, host.number)
    await disks.make_key(host.host_key, host.name)
    await machines.make_disk(host)


async def _undo(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Undo entries of a record, the last first; the names of those that could not be."""
    machine_first = [entry for entry in entries if entry.kind in {MACHINE, UNIT, CGROUP}]
    await asyncio.gather(*(_undo_one(entry) for entry in machine_first))
    rest = [entry for entry in entries if entry.kind not in {MACHINE}]
    left: list[str] = []
    for entry in rest:
        if not await _undo_one(entry):
            left.append(entry.name)
    return tuple(left)


async def _undo_one(entry: Entry) -> bool:
    path = Path(entry.name)
    match entry.kind:
        case "machine":
            await machines.end(path, path.parent.parent / "hosts" / path.name / "root")
            return True
        case "unit":
            return await cgroups.stop_unit(entry.name)
        case "cgroup":
            return await cgroups.empty(path) and await cgroups.remove(path)
        case "mount":
            return await disks.unmount(path)
        case "namespace":
            await network.remove(entry.name)
            return not (network.NETNS / entry.name).exists()
        case "directory":
            if disks.mounted_below(path):
                return False
            shutil.rmtree(path, ignore_errors=True)
            return not path.exists()
    return False


def _make_directory(directory: Path, owner: int | None) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    if owner is not None:
        (directory / "owner").write_text(f"{owner} {_started(owner)}\n", encoding="utf-8")
    for part in ("pids", "consoles", "host-keys"):
        (directory / part).mkdir(exist_ok=True)


def _read(name: str) -> Lab:
    file = directory_of(name) / "lab.json"
    hosts = json.loads(file.read_text(encoding="utf-8"))["hosts"] if file.is_file() else []
    return Lab(name, tuple(LabHost(**host) for host in hosts))


def _save(lab: Lab) -> None:
    temporary = lab.directory / "lab.json.new"
    temporary.write_text(json.dumps({"name": lab.name, "hosts": [asdict(host) for host in lab.hosts]}), encoding="utf-8")
    os.replace(temporary, lab.directory / "lab.json")


def _is_orphan(directory: Path) -> bool:
    try:
        process, started = (directory / "owner").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return False
    return _started(int(process)) != started


def _started(process: int) -> str:
    """When a process was started, in ticks since boot; `0` if there is none. Tells a process from a later one of its number."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return "0"


@contextlib.asynccontextmanager
async def _changing(name: str) -> AsyncIterator[None]:
    """Hold the lab's lock. Raises `LabBusy`."""
    state = directory_of(name).parent
    state.mkdir(parents=True, exist_ok=True)
    descriptor = await _lock(state / f".{name}.lock", name)
    try:
        yield
    finally:
        if not directory_of(name).exists():
            (state / f".{name}.lock").unlink(missing_ok=True)
        os.close(descriptor)


async def _lock(path: Path, name: str) -> int:
    """Take the lock; wait a moment for it, because what a killed run had just started holds it until it becomes its program."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
            os.close(descriptor)  # who held it removed the lab, and the lock's file with it
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() > deadline:
                raise LabBusy(name) from None
            await asyncio.sleep(0.05)
