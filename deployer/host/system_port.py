"""The real answers to `machine.SystemPort`: the kernel, and systemd-tmpfiles. `systemd.Systemd` answers for PID 1."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Dict, Final, Mapping, Optional, Sequence

from deployer.errors import DeployerError, DeploymentError
from deployer.host import kernel
from deployer.host.machine import SystemPort
from deployer.host.process import ProgramMissing, ProgramTimedOut, run

if TYPE_CHECKING:
    from deployer.host.disk import Disk
    from deployer.host.labels import Labels

_TIMEOUT: Final = 90.0
_NAMES_TIMEOUT: Final = 10.0
_JUDGING_TIMEOUT: Final = 15.0
_NOT_ALL_FOUND: Final = 2
"""The status of getent(1) where a key is unknown."""
_CACHE_SOCKETS: Final = ("/run/nscd/socket", "/var/run/nscd/socket")


class NameServiceSilent(DeploymentError):
    """The host's sources of accounts do not answer."""

    database: str

    @property
    def message(self) -> str:
        """Which."""
        return f"`getent {self.database}` on it does not answer within {_NAMES_TIMEOUT:g} s: is its directory service down?"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Bring the directory service back, or take it out of /etc/nsswitch.conf: accounts must not be made twice."


class RealSystem(SystemPort):
    """The kernel of this host, and its small programs."""

    def __init__(self, *, selinux: str = "/sys/fs/selinux/enforce", restorecon: str = "restorecon") -> None:
        """`selinux` is a file that is there where security labels mean something."""
        self._selinux, self._restorecon = selinux, restorecon

    def sysctl(self, key: str) -> Optional[str]:
        """The value of a key; None where the kernel has no such key."""
        return kernel.read(key)

    def architecture(self) -> str:
        """Of the kernel."""
        return os.uname().machine

    def may_set_sysctl(self, key: str) -> bool:
        """Whether a key that is there can be written."""
        return kernel.is_writable(key)

    def set_sysctl(self, key: str, value: str) -> None:
        """Set it."""
        kernel.write(key, value)

    def make_tmpfiles(self, path: str) -> None:
        """Have systemd-tmpfiles create what a file says."""
        run(["systemd-tmpfiles", "--create", path], timeout=_TIMEOUT)

    def accounts(self, database: str, keys: Sequence[str]) -> Mapping[str, int]:
        """Name to number of those of `keys` that are known. Raises `NameServiceSilent`."""
        try:
            done = run(["getent", database, *keys], timeout=_NAMES_TIMEOUT, check=False)
        except ProgramTimedOut:
            raise NameServiceSilent(database) from None
        found: Dict[str, int] = {}
        if done.status in (0, _NOT_ALL_FOUND):
            for fields in (line.split(":") for line in done.text.splitlines()):
                if len(fields) > 2 and fields[2].isdecimal() and len(fields[2]) <= 10:
                    found[fields[0]] = int(fields[2])
        return found

    def judge(self, command: Sequence[str]) -> str:
        """What a checking program says against files; empty: nothing, or there is no such program. Bounded in time."""
        try:
            done = run(command, timeout=_JUDGING_TIMEOUT, check=False)
        except ProgramMissing:
            return ""
        except ProgramTimedOut as error:
            return error.message
        return "" if done.status == 0 else done.last_words or f"it ended with {done.status}"

    def relabel(self, paths: Sequence[str]) -> None:
        """Have restorecon(8) label them, where SELinux is on. Raises `ProgramFailed` and `ProgramMissing`."""
        if paths and self._is_labelled():
            names = b"".join(os.fsencode(path) + b"\0" for path in paths)
            run([self._restorecon, "-i", "-0", "-f", "-"], stdin=names, timeout=_TIMEOUT)

    def labels(self, disk: Disk) -> Optional[Labels]:
        """What labels our directories; None where SELinux is not on."""
        if not self._is_labelled():
            return None
        from deployer.host.labels import Labels

        return Labels(disk)

    def _is_labelled(self) -> bool:
        """Also in a container it may be there to be read: then labels are not for us to change."""
        try:
            return not os.statvfs(self._selinux).f_flag & os.ST_RDONLY
        except OSError:
            return False

    def forget_accounts(self) -> None:
        """Have nscd(8), where it runs, look again: it remembers for a while who was not there."""
        if any(os.path.exists(path) for path in _CACHE_SOCKETS):
            for database in ("passwd", "group"):
                with contextlib.suppress(DeployerError):
                    run(["nscd", "-i", database], timeout=_NAMES_TIMEOUT, check=False)
