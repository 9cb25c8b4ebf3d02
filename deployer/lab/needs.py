"""What this machine must offer before it can hold a lab."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from deployer.errors import DeployerError
from deployer.lab.errors import NotDebian, NotRoot
from deployer.process import ProgramMissing

PROGRAMS: Final = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh-keygen": "openssh-client",
    "setsid": "util-linux",
}
"""Program to the Debian package that has it."""

_INOTIFY: Final = {"max_user_instances": 65536, "max_user_watches": 1048576}


def missing_needs() -> tuple[DeployerError, ...]:
    """What stands in the way of a lab on this machine; nothing, if it can be made."""
    if os.geteuid() != 0:
        return (NotRoot(),)
    if not shutil.which("apt-get"):
        return (NotDebian("not a Debian"),)
    return tuple(ProgramMissing(package) for program, package in PROGRAMS.items() if not shutil.which(program))


def raise_inotify_limits() -> None:
    """Let a hundred systemds watch their files. Limits are only ever raised, and stay raised until the machine reboots."""
    for name, wanted in _INOTIFY.items():
        path = Path("/proc/sys/fs/inotify", name)
        if path.is_file() and int(path.read_text(encoding="utf-8")) < wanted and os.access(path, os.W_OK):
            path.write_text(str(wanted), encoding="utf-8")
