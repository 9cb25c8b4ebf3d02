"""The way to a host: each hop with what the inventory and the SSH configuration say of it."""

from __future__ import annotations

import getpass
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncssh

from deployer.inventory import Connection, Host
from deployer.ssh.errors import LocalUserUnknown, SshConfigUnusable, escaped
from deployer.ssh.identities import USUAL_FILES as USUAL_IDENTITIES
from deployer.ssh.identities import Identities, load_identities
from deployer.ssh.known_hosts import SSH_PORT, Trust, our_file
from deployer.ssh.known_hosts import USUAL_FILES as USUAL_KNOWN_HOSTS

MAX_HOPS: Final = 8
_FIRST_CIPHER: Final = "^aes128-gcm@openssh.com"
"""The fastest one where the processor has AES, and as safe as the others."""


_USER_CONFIG: Final = "~/.ssh/config"
_JUMP: Final = re.compile(r"(?:(?P<user>[^@]+)@)?(?P<address>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Hop:
    """One SSH server on the way; the last one is the host."""

    host: str
    """The name of the host that all of it is for."""
    target: str
    """What asyncssh is given, so that the SSH configuration applies once more."""
    address: str
    """What that stands for."""
    port: int
    user: str
    label: str
    """As the inventory writes it, for messages."""
    identities: Identities
    agent: bool
    trust: Trust
    key_name: str
    """What its key is known by."""
    accept_new: bool
    options: dict[str, Any]
    """For asyncssh."""


def route_to(host: Host) -> tuple[Hop, ...]:
    """The hops, the nearest first. Raises `LocalUserUnknown`, and other `SshError`s for files that can't be used."""
    connection = host.connection
    target, jumps = _hop(host.name, connection, connection.address, connection.port, connection.user, host.name, final=True)
    hops: list[Hop] = []
    for text in reversed(connection.jump or jumps):
        match = _JUMP.fullmatch(text.removeprefix("ssh://"))
        if not match:
            raise SshConfigUnusable(
                host.name, str(_config_of(host.name, connection)), f"the jump host {escaped(text)} can't be read"
            )
        port = int(match["port"]) if match["port"] else None
        hop, _ = _hop(host.name, connection, match["address"].strip("[]"), port, match["user"], text, final=False)
        hops.insert(0, hop)
    return (*hops[-MAX_HOPS:], target)


def _hop(
    name: str, connection: Connection, address: str, port: int | None, user: str | None, label: str, *, final: bool
) -> tuple[Hop, tuple[str, ...]]:
    """A hop, and the jump hosts that the SSH configuration wants before it."""
    config = _config_of(name, connection)
    _require_a_name(name)
    given: dict[str, Any] = {
        "config": [str(config)] if config is not None else None,
        "port": () if port in {None, SSH_PORT} else port,
        "username": () if user is None else user,
    }
    try:
        found = asyncssh.SSHClientConnectionOptions(host=address, client_keys=None, tunnel=None, **given)
    except (asyncssh.ConfigParseError, OSError, ValueError) as error:
        raise SshConfigUnusable(name, str(config or "(none)"), str(error)) from None
    said: Any = found.config
    agent_path = said.get("IdentityAgent", None) or os.environ.get("SSH_AUTH_SOCK", "")
    agent = bool(agent_path) and agent_path != "none"
    from_config = [_expanded(name, str(file)) for file in said.get("IdentityFile", ())]
    usual = [_expanded(name, file) for file in USUAL_IDENTITIES]
    files = list(connection.identity_files) or from_config or usual
    identities = load_identities(name, files, required=bool(connection.identity_files), agent=agent)
    only = bool(connection.identity_files) or bool(said.get("IdentitiesOnly", False))
    for_agent = [file.with_name(file.name + ".pub") for file in identities.for_agent]
    agent = agent and (not only or bool(for_agent))
    alias = connection.host_key_alias if final else None
    alias = alias or said.get("HostKeyAlias", None)
    options = {
        **given,
        "host_key_alias": alias,
        "client_keys": list(identities.pairs) or (() if agent or not only else None),
        "agent_forwarding": False,
        "request_pty": False,
        "env": None,
        "send_env": None,
        "command": None,
        "x11_forwarding": False,
    }
    if not agent:
        options["agent_path"] = None
    elif only:
        options["agent_identities"] = [str(file) for file in for_agent if file.is_file()] or None
    if not said.get("Ciphers", ()):
        options["encryption_algs"] = _FIRST_CIPHER
    accept_new = connection.host_key_policy == "accept-new"
    pinned = connection.host_keys if final else ()
    trust = Trust(name, _known_hosts_files(name, connection, said, accept_new), pinned)
    hop = Hop(
        host=name,
        target=address,
        address=str(found.host),
        port=int(found.port),
        user=str(found.username),
        label=label,
        identities=identities,
        agent=agent,
        trust=trust,
        key_name=str(alias or found.host),
        accept_new=accept_new and not pinned,
        options=options,
    )
    return hop, _jumps_of(said.get("ProxyJump", None))


def _config_of(name: str, connection: Connection) -> Path | None:
    """The SSH configuration that applies."""
    if connection.ssh_config is not None:
        return connection.ssh_config
    usual = _expanded(name, _USER_CONFIG)
    return usual if os.path.isfile(usual) else None


def _known_hosts_files(name: str, connection: Connection, said: Any, accept_new: bool) -> list[Path]:
    if connection.known_hosts is not None:
        return [connection.known_hosts, *([our_file()] if accept_new else [])]
    user = [str(file) for file in said.get("UserKnownHostsFile", USUAL_KNOWN_HOSTS[:2])]
    system = [str(file) for file in said.get("GlobalKnownHostsFile", USUAL_KNOWN_HOSTS[2:])]
    return [*(_expanded(name, file) for file in [*user, *system] if file != "none"), our_file()]


def _jumps_of(text: object) -> tuple[str, ...]:
    if not isinstance(text, str) or text.lower() == "none":
        return ()
    return tuple(part.strip() for part in text.split(","))


def _require_a_name(name: str) -> None:
    """asyncssh wants the name of who runs this, whomever it logs in as."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        raise LocalUserUnknown(name, os.getuid()) from None


def _expanded(name: str, file: str) -> Path:
    """A file as SSH names it, with `~` for a home."""
    try:
        found = Path(file).expanduser()
    except RuntimeError:
        reason = "there is no such home; set HOME where this user has no account"
        raise SshConfigUnusable(name, file, reason) from None
    if file.startswith("~") and not found.is_absolute():
        raise SshConfigUnusable(name, file, f"HOME is {escaped(os.environ.get('HOME', ''))!r}, which is no absolute path")
    return found
