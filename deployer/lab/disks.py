"""A host's disk: an overlay over a base, with what makes this host itself."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Final

from deployer.lab.errors import LabNotClean, OverlayMissing
from deployer.lab.record import DIRECTORY, MOUNT, Record
from deployer.process import ProgramFailed, run

_OVERLAYFS: Final = "overlay"
_BUSY_SECONDS: Final = 2.0
"""A file system that another one was mounted from is let go of a moment after that one."""
_POLL_SECONDS: Final = 0.1


async def prepare_home(directory: Path, record: Record, *, in_memory: bool = False) -> None:
    """Make the directory of the hosts' disks; in memory also where it is on an overlay, which cannot hold another's changes."""
    directory.mkdir(parents=True, exist_ok=True)
    kind = (await run(["stat", "--file-system", "--format=%T", directory])).text
    if in_memory or kind.startswith(_OVERLAYFS):
        record.note(MOUNT, directory)
        await run(["mount", "-t", "tmpfs", "-o", "mode=0700", "deployer-lab", directory])


async def mount(base: Path, disk: Path, record: Record, host: str) -> None:
    """Lay an empty overlay over the base at `disk/root`."""
    upper, work, root = disk / "upper", disk / "work", disk / "root"
    record.note(DIRECTORY, disk, host)
    for directory in (upper, work, root):
        directory.mkdir(parents=True, exist_ok=True)
    upper.chmod(0o755)
    record.note(MOUNT, root, host)
    options = f"lowerdir={base},upperdir={upper},workdir={work}"
    try:
        await run(["mount", "-t", "overlay", "-o", options, "deployer-lab", root])
    except ProgramFailed as failure:
        raise OverlayMissing(str(root), failure.stderr.strip()) from None


async def wipe(disk: Path) -> None:
    """Empty a disk: unmount it and throw its changes away."""
    if not await unmount(disk / "root"):
        raise LabNotClean(disk.parent.parent.name, (str(disk / "root"),))
    for part in ("upper", "work"):
        shutil.rmtree(disk / part, ignore_errors=True)


async def unmount(point: Path) -> bool:
    """Unmount; whether nothing is mounted there in the end. What serves the file system may be gone."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while str(point) in _mount_points() and time.monotonic() < deadline:
        if (await run(["umount", "--recursive", point], check=False)).status:
            await asyncio.sleep(_POLL_SECONDS)
    return str(point) not in _mount_points()


def mounted_below(directory: Path) -> tuple[str, ...]:
    """The mount points at and below a directory. A tree that has any must not be deleted."""
    return tuple(point for point in _mount_points() if Path(point).is_relative_to(directory))


def _mount_points() -> tuple[str, ...]:
    return tuple(line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines())


def personalise(root: Path, *, name: str, address: str, authorized_key: str, host_key: Path) -> None:
    """Write what makes this host itself: its name, its host key, and the key that may log in as root."""
    _write(root / "etc/hostname", f"{name}\n")
    _write(root / "etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{address} {name}\n")
    _write(root / "etc/machine-id", "")
    _write(root / "root/.ssh/authorized_keys", authorized_key, mode=0o600)
    (root / "root/.ssh").chmod(0o700)
    _write(root / "etc/ssh/ssh_host_ed25519_key", host_key.read_text(encoding="utf-8"), mode=0o600)
    _write(root / "etc/ssh/ssh_host_ed25519_key.pub", host_key.with_suffix(".pub").read_text(encoding="utf-8"))


async def make_key(path: Path, comment: str) -> None:
    """Make an ed25519 key pair at `path`, unless there is one."""
    if not path.with_suffix(".pub").exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
