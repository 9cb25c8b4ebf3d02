"""The real answers to `machine.SystemPort`: the kernel, and systemd-tmpfiles. `systemd.Systemd` answers for PID 1."""

from __future__ import annotations

from typing import Final, Optional

from deployer.host import kernel
from deployer.host.machine import SystemPort
from deployer.host.process import run

_TIMEOUT: Final = 90.0


class RealSystem(SystemPort):
    """The kernel of this host."""

    def sysctl(self, key: str) -> Optional[str]:
        """The value of a key; None where the kernel has no such key."""
        return kernel.read(key)

    def may_set_sysctl(self, key: str) -> bool:
        """Whether a key that is there can be written."""
        return kernel.is_writable(key)

    def set_sysctl(self, key: str, value: str) -> None:
        """Set it."""
        kernel.write(key, value)

    def make_tmpfiles(self, path: str) -> None:
        """Have systemd-tmpfiles create what a file says."""
        run(["systemd-tmpfiles", "--create", path], timeout=_TIMEOUT)
