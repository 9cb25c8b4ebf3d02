"""Which keys hosts may show: known_hosts files, parsed once, and our own one for `accept-new`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import asyncssh

from deployer.ssh.errors import KnownHostsUnusable

USUAL_FILES: Final = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_MODE: Final = 0o600
SSH_PORT: Final = 22


def our_file() -> Path:
    """Where keys are kept that `accept-new` accepted."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "deployer" / "known_hosts"


@dataclass
class Trust:
    """The keys that one host may show. asyncssh calls it when the connection is made, and takes the keys from it."""

    host: str
    files: Sequence[Path]
    pinned: Sequence[str] = ()
    known: list[asyncssh.SSHKey] = field(default_factory=list)
    """What is known of the host, once it was asked."""

    def __call__(
        self, name: str, address: str, port: int | None
    ) -> tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]:
        """The host's keys, the authorities for it, and revoked keys."""
        keys: list[asyncssh.SSHKey] = []
        authorities: list[asyncssh.SSHKey] = []
        revoked: list[asyncssh.SSHKey] = []
        if self.pinned:
            try:
                keys = [asyncssh.import_public_key(text) for text in self.pinned]
            except asyncssh.KeyImportError as error:
                raise KnownHostsUnusable(self.host, "host_keys of the inventory", str(error)) from None
        else:
            for file in self.files:
                found = _parsed(self.host, file)
                if found is not None:
                    match = found.match(name, address, port)
                    keys += match[0]
                    authorities += match[1]
                    revoked += match[2]
        self.known = keys
        return keys, authorities, revoked


def remember(host: str, name: str, port: int, key: asyncssh.SSHKey) -> None:
    """Add a key to our own file. Several controllers may do so at once. Raises `KnownHostsUnusable`."""
    file = our_file()
    where = name if port == SSH_PORT else f"[{name}]:{port}"
    line = f"{where} {key.export_public_key().decode().strip()}\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (file.parent / "known_hosts.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = file.read_text(encoding="utf-8") if file.exists() else ""
            if line in before.splitlines(keepends=True):
                return
            _replace(file, before + line)
    except OSError as error:
        raise KnownHostsUnusable(host, str(file), error.strerror or str(error)) from None


def _replace(file: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".known_hosts-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            new.write(text)
            new.flush()
            os.fchmod(new.fileno(), _MODE)
            os.fsync(new.fileno())
        Path(temporary).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _parsed(host: str, file: Path) -> asyncssh.SSHKnownHosts | None:
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KnownHostsUnusable(host, str(file), error.strerror or str(error)) from None
    try:
        return _parse(file, status.st_mtime_ns, status.st_size, status.st_ino)
    except (OSError, ValueError) as error:
        raise KnownHostsUnusable(host, str(file), str(error)) from None


@lru_cache(maxsize=64)
def _parse(file: Path, changed: int, size: int, inode: int) -> asyncssh.SSHKnownHosts:
    """Parsed once for as long as the file stays the same."""
    return asyncssh.import_known_hosts(file.read_text(encoding="utf-8"))
