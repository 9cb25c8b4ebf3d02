"""One host as a machine: booting it, waiting for it, crashing it, pulling its plug."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deployer.errors import DeployerError
from deployer.lab import cgroups, disks, network
from deployer.lab.bases import Base, ensure_base
from deployer.lab.errors import HostsNotRunning
from deployer.lab.record import CGROUP, MACHINE, UNIT, Record
from deployer.process import run

if TYPE_CHECKING:
    from deployer.lab.lab import LabHost

BATCH: Final = 10
"""Hosts that boot at the same time: more make each other's boot services time out."""
BOOT_SECONDS: Final = 90.0
"""From the start of a machine until systemd in it must say `running`."""
_ATTEMPTS: Final = 3
_KEEPER: Final = Path(__file__).with_name("keeper.sh")
_POLL_SECONDS: Final = 0.15


async def start(*hosts: LabHost, timeout: float = BOOT_SECONDS) -> None:
    """Boot those of the hosts that are not up, in batches, and wait until each is `running`. Their disks are kept.

    A host that comes up otherwise (`degraded`: a boot service failed) is booted again, up to three times. Raises
    `HostsNotRunning`.
    """
    gate = asyncio.Semaphore(BATCH)
    failed: dict[str, str] = {}

    async def one(host: LabHost) -> None:
        async with gate:
            state = await _boot_until_running(host, timeout)
        if state != "running":
            failed[host.name] = state

    async with asyncio.TaskGroup() as tasks:
        for host in hosts:
            tasks.create_task(one(host))
    if failed:
        raise HostsNotRunning(failed, str(hosts[0].console.parent))


async def crash(*hosts: LabHost) -> None:
    """Kill the hosts on the spot, as a failing machine would. What was written to their disks stays."""
    await asyncio.gather(*(_kill(host) for host in hosts))


async def reset(*hosts: LabHost) -> None:
    """Give the hosts new disks, as they were before their first boot, and boot them. Keys and addresses stay."""

    async def one(host: LabHost) -> None:
        await _kill(host)
        await network.set_port(host.lab, host.number, up=True)
        await disks.wipe(host.disk)
        await make_disk(host)

    await asyncio.gather(*(one(host) for host in hosts))
    await start(*hosts)


async def cut(*hosts: LabHost) -> None:
    """Pull the network plugs of the hosts."""
    await asyncio.gather(*(network.set_port(host.lab, host.number, up=False) for host in hosts))


async def heal(*hosts: LabHost) -> None:
    """Plug the hosts in again."""
    await asyncio.gather(*(network.set_port(host.lab, host.number, up=True) for host in hosts))


async def is_running(host: LabHost) -> bool:
    """Whether systemd in the host says `running`."""
    return await _state(host) == "running"


async def make_disk(host: LabHost) -> None:
    """Mount the host's disk and write what makes the host itself. The base is built first where the cache has none."""
    base = await ensure_base(Base(host.release, host.base))
    await disks.mount(base, host.disk, Record(host.directory / "record"), host.name)
    disks.personalise(
        host.disk / "root",
        name=host.name,
        address=host.address,
        authorized_key=(host.directory / "key.pub").read_text(encoding="utf-8"),
        host_key=host.host_key,
    )


def leader(host: LabHost) -> int | None:
    """The process id, on this machine, of the host's PID 1; None where it is not up."""
    machine = machine_process(host.pid_file, host.disk / "root")
    return next((process for process in _descendants(machine) if _is_first(process)), None) if machine else None


def machine_process(pid_file: Path, root: Path) -> int | None:
    """The process id that a file names, if that process still lives and keeps a machine with that root."""
    try:
        process = int(pid_file.read_text(encoding="utf-8"))
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return process if f"--directory={root}".encode() in command else None


async def _boot_until_running(host: LabHost, timeout: float) -> str:
    state = await _state(host)
    if state == "running":
        return state
    for _ in range(_ATTEMPTS):
        await _kill(host)
        await _launch(host)
        state = await _wait(host, timeout)
        if not state.startswith("degraded"):
            break
    return state


async def _launch(host: LabHost) -> None:
    """Start the keeper of systemd-nspawn so that both outlive us: in a session, and a control group, of their own."""
    record = Record(host.directory / "record")
    root, name = host.disk / "root", f"{host.lab}-{host.name}"
    nspawn = [
        *("systemd-nspawn", "--quiet", f"--directory={root}", f"--machine={name}", f"--hostname={host.name}", "--boot"),
        *("--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no"),
        *(f"--network-namespace-path={host.namespace}", "--capability=CAP_NET_ADMIN"),
    ]
    record.note(MACHINE, host.pid_file, host.name)
    if cgroups.has_systemd():
        unit = unit_of(host)
        record.note(UNIT, unit, host.name)
        prefix = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", "--property=Delegate=yes"]
        groups: tuple[Path, ...] = ()
    else:
        groups = cgroups.groups_of(await cgroups.hierarchies(), host.lab, host.name)
        for group in groups:
            record.note(CGROUP, group, host.name)
        cgroups.make(groups)
        prefix = ["setsid", "--fork"]
    joined = ":".join(str(group) for group in groups)
    await run([*prefix, "/bin/sh", _KEEPER, host.pid_file, host.console, joined, *nspawn])


async def _kill(host: LabHost) -> None:
    """End the machine at once. Killing systemd-nspawn alone would leave the host's own processes running."""
    await end(host.pid_file, host.disk / "root")
    if cgroups.has_systemd():
        await cgroups.stop_unit(unit_of(host))
        return
    for group in cgroups.groups_of(await cgroups.hierarchies(), host.lab, host.name):
        await cgroups.empty(group)
        await cgroups.remove(group)


async def end(pid_file: Path, root: Path) -> None:
    """Kill the keeper of a machine that a file names, its systemd-nspawn, and with the host's PID 1 all that runs on the host."""
    machine = machine_process(pid_file, root)
    if machine is not None:
        await run(["kill", "-KILL", str(machine), *(str(process) for process in _descendants(machine))], check=False)
    pid_file.unlink(missing_ok=True)


def unit_of(host: LabHost) -> str:
    """The transient unit that runs the host where this machine has systemd."""
    return f"deployer-lab-{host.lab}-{host.name}.service"


async def _wait(host: LabHost, timeout: float) -> str:
    """Wait until the host has finished booting, well or badly; what systemd in it says, with its failed units."""
    deadline = time.monotonic() + timeout
    launched = time.monotonic()
    state = "not started"
    while time.monotonic() < deadline:
        state = await _state(host)
        if state == "running":
            return state
        if state == "degraded":
            return f"degraded ({', '.join(await _failed_units(host)) or 'no unit named'})"
        if state == "dead" and time.monotonic() - launched > 3:
            return f"systemd-nspawn ended: {_last_line(host.console)}"
        await asyncio.sleep(_POLL_SECONDS)
    return f"still '{state}' after {timeout:g} s"


async def _state(host: LabHost) -> str:
    """What `systemctl is-system-running` says in the host; `dead` where it is not up."""
    process = leader(host)
    if process is None:
        return "dead"
    with contextlib.suppress(DeployerError):
        answer = await run(_within(process, "systemctl", "is-system-running"), check=False, timeout=30)
        return answer.text or "booting"
    return "booting"


async def _failed_units(host: LabHost) -> Iterable[str]:
    process = leader(host)
    if process is None:
        return []
    command = _within(process, "systemctl", "list-units", "--failed", "--plain", "--no-legend")
    answer = await run(command, check=False, timeout=30)
    return [line.split()[0] for line in answer.text.splitlines() if line.split()]


def _within(process: int, *command: str) -> list[str]:
    """A command in a host. Its root is named besides its namespaces: where this machine is a chroot, theirs is another."""
    return ["nsenter", f"--target={process}", "--all", "--root", "--wd", *command]


def _descendants(process: int) -> list[int]:
    """The keeper's systemd-nspawn and the host's PID 1, without what runs on the host."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for child in Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split():
            found.append(int(child))
            if not _is_first(int(child)):
                found += _descendants(int(child))
    return found


def _is_first(process: int) -> bool:
    """Whether a process is the PID 1 of a namespace below ours."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("NSpid:"):
                return len(line.split()) > 2 and line.split()[-1] == "1"
    return False


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else "it printed nothing"
