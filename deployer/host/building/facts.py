"""What this machine can build, found out once for each connection."""

from __future__ import annotations

import asyncio
import getpass
import os
import platform
import shutil
from pathlib import Path
from typing import Final, Sequence, Tuple

from deployer.formats.building import BuilderFacts
from deployer.formats.messages import PROTOCOL
from deployer.host.building.errors import SandboxUnusable
from deployer.host.facts import compressions
from deployer.host.process import ProgramMissing, ProgramTimedOut, run
from deployer.sandbox.cells import Cells
from deployer.sandbox.spec import KVM

_EMULATORS: Final = Path("/proc/sys/fs/binfmt_misc")
_PLACES: Final = "/usr/local/bin:/usr/bin:/bin"
_TRIAL: Final = (
    *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--die-with-parent"),
    *("--uid", "1000", "--gid", "100", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "/bin/sh", "-c", ":"),
)


def builder_facts(root: Path) -> BuilderFacts:
    """Of this machine, and of the user that we run as."""
    return BuilderFacts(
        protocol=PROTOCOL,
        machine=platform.machine(),
        emulated=_emulated(),
        processors=len(os.sched_getaffinity(0)),
        kvm=os.access(KVM, os.R_OK | os.W_OK),
        sandbox_refusal=asyncio.run(_refusal()),
        bubblewrap=shutil.which("bwrap") or shutil.which("bwrap", path=_PLACES) or "",
        compressions=compressions(),
        root=str(root),
        user=_user(),
    )


def try_sandbox(bubblewrap: Sequence[str]) -> None:
    """Make an empty sandbox. Raises `SandboxUnusable`."""
    try:
        tried = run([*bubblewrap, *_TRIAL], check=False)
    except (ProgramMissing, ProgramTimedOut) as error:
        raise SandboxUnusable(error.message) from None
    if tried.status:
        raise SandboxUnusable(tried.last_words)


async def _refusal() -> str:
    cells = Cells()
    refused = await cells.open()
    cells.close()
    return refused


def _emulated() -> Tuple[str, ...]:
    try:
        return tuple(sorted(entry.name for entry in _EMULATORS.iterdir() if entry.name.startswith("qemu-")))
    except OSError:
        return ()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())
