"""Connections to hosts by SSH, strict about who answers, and bounded in time.

`connect` opens a connection through all jump hosts; a `Session` runs commands on it; a `Channel` speaks with one of them.
Every error derives from `SshError`, names the host, and says at which hop it happened. This is the only room that knows
asyncssh, and it imports it with the first connection only.
"""

from __future__ import annotations

from deployer.ssh.becoming import BecomePassword
from deployer.ssh.errors import (
    AuthenticationFailed,
    BecomePasswordWrong,
    BecomeRefused,
    BecomeSilent,
    ConnectionBroken,
    GateMissing,
    GateOnly,
    HostKeyChanged,
    HostKeyRevoked,
    HostKeyUnknown,
    IdentityUnusable,
    JumpHostFailed,
    KnownHostsUnusable,
    LocalUserUnknown,
    NotSsh,
    OutputTooLarge,
    RemoteCommandTimedOut,
    SshConfigUnusable,
    SshError,
    Unreachable,
)
from deployer.ssh.options import ConnectOptions
from deployer.ssh.session import GATE, Channel, Session, connect

__all__ = [
    "GATE",
    "AuthenticationFailed",
    "BecomePassword",
    "BecomePasswordWrong",
    "BecomeRefused",
    "BecomeSilent",
    "Channel",
    "ConnectOptions",
    "ConnectionBroken",
    "GateMissing",
    "GateOnly",
    "HostKeyChanged",
    "HostKeyRevoked",
    "HostKeyUnknown",
    "IdentityUnusable",
    "JumpHostFailed",
    "KnownHostsUnusable",
    "LocalUserUnknown",
    "NotSsh",
    "OutputTooLarge",
    "RemoteCommandTimedOut",
    "Session",
    "SshConfigUnusable",
    "SshError",
    "Unreachable",
    "connect",
]
