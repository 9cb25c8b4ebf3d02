"""What a host is, and how it stands."""

from __future__ import annotations

import os
import platform
import re
import socket
from pathlib import PurePosixPath
from typing import Dict, Tuple

from deployer.formats.messages import PROTOCOL, HostFacts, HostStatus
from deployer.host import libzstd
from deployer.host.clock import boot_id
from deployer.host.disk import Disk
from deployer.host.machine import Machine
from deployer.host.next_boot import read_next_boot
from deployer.host.process import run
from deployer.host.transaction import BOOT


def host_facts(machine: Machine) -> HostFacts:
    """Asked once for each connection that has something to do."""
    disk = machine.disk
    release = _os_release(disk)
    status = os.statvfs(_existing(disk, "/nix/store"))
    return HostFacts(
        protocol=PROTOCOL,
        hostname=socket.gethostname(),
        distribution=f"{release.get('ID', 'linux')} {release.get('VERSION_ID', '')}".strip(),
        machine=platform.machine(),
        python=platform.python_version(),
        systemd=_systemd_version(),
        boot_id=boot_id(),
        free_bytes=status.f_bavail * status.f_frsize,
        free_inodes=status.f_favail,
        compressions=compressions(),
        has_nix=disk.exists("/nix/var/nix/db/db.sqlite"),
        interpreter=str(PurePosixPath(program).parents[1]) if (program := machine.store.interpreter()) else "",
    )


def host_status(machine: Machine) -> HostStatus:
    """Read from journal and profile; changes nothing."""
    from deployer.host.collecting import generations

    record, current, following = machine.journal.read(), machine.profile.current(), read_next_boot(machine.disk)
    return HostStatus(
        state=record.state,
        transaction=record.transaction,
        reason=record.reason,
        generation=current.number,
        system=current.system,
        epoch=record.epoch,
        next_boot=-1 if following is None else following.generation,
        staged=following is not None and following.kind == BOOT,
        generations=generations(machine),
    )


def compressions() -> Tuple[str, ...]:
    """What can be decompressed here, best first."""
    try:
        import compression.zstd  # type: ignore[import-not-found,unused-ignore] # noqa: F401
    except ImportError:
        if not libzstd.is_here():
            return ("zlib", "none")
    return ("zstd", "zlib", "none")


def _os_release(disk: Disk) -> Dict[str, str]:
    for path in ("etc/os-release", "usr/lib/os-release"):
        try:
            lines = (disk.root / path).read_text(errors="replace").splitlines()
        except OSError:
            continue
        pairs = (line.partition("=") for line in lines if "=" in line)
        return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}
    return {}


def _systemd_version() -> int:
    found = re.search(r"systemd (\d+)", run(["systemctl", "--version"], check=False).stdout.decode(errors="replace"))
    return int(found.group(1)) if found else 0


def _existing(disk: Disk, path: str) -> str:
    place = disk.root / path.lstrip("/")
    while not place.exists():
        place = place.parent
    return str(place)
