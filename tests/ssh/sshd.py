"""A real OpenSSH server on 127.0.0.1, with keys of its own."""

from __future__ import annotations

import getpass
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployer.errors import Place
from deployer.inventory import Connection, Host


@dataclass
class Sshd:
    """A running server."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def identity(self) -> Path:
        return self.directory / "identity"

    @property
    def host_key(self) -> str:
        return " ".join((self.directory / "host_key.pub").read_text().split()[:2])

    @property
    def known_hosts_line(self) -> str:
        return f"[127.0.0.1]:{self.port} {self.host_key}\n"

    def host(self, name: str = "web1", **connection: Any) -> Host:
        """A host of the inventory that is this server."""
        known_hosts = self.directory / "known_hosts"
        if not known_hosts.exists():
            known_hosts.write_text(self.known_hosts_line)
        settings = {
            "address": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "identity_files": (self.identity,),
            "known_hosts": known_hosts,
            "connect_timeout": 10.0,
            **connection,
        }
        return host(name, **settings)


def host(name: str = "web1", **connection: Any) -> Host:
    """A host of an inventory."""
    return Host(
        name=name,
        groups=(),
        labels={},
        vars={},
        connection=Connection(**connection),
        configuration=None,
        place=Place("inventory.yaml", 1, 1),
    )


def keygen(path: Path, *options: str) -> Path:
    """A new key."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path, *options], check=True, stdin=subprocess.DEVNULL)
    return path


def start(directory: Path, *settings: str) -> Sshd:
    """Start a server; the caller terminates its process."""
    directory.mkdir()
    keygen(directory / "host_key")
    keygen(directory / "identity")
    (directory / "authorized_keys").write_bytes((directory / "identity.pub").read_bytes())
    port = free_port()
    (directory / "sshd_config").write_text(
        "\n".join(
            [
                f"ListenAddress 127.0.0.1:{port}",
                f"HostKey {directory}/host_key",
                f"AuthorizedKeysFile {directory}/authorized_keys",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "StrictModes no",
                "UsePAM no",
                "PidFile none",
                *settings,
            ]
        )
        + "\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    log = (directory / "log").open("wb")
    process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", directory / "sshd_config"], stderr=log)
    log.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return Sshd(directory, port, process)
        time.sleep(0.02)
    raise AssertionError((directory / "log").read_text())


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
