"""Making connections, hop by hop, and telling exactly what went wrong where."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import weakref
from collections.abc import AsyncIterator
from typing import Final

import asyncssh
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from deployer.inventory import Host
from deployer.ssh import known_hosts
from deployer.ssh.errors import (
    AuthenticationFailed,
    HostKeyChanged,
    HostKeyRevoked,
    HostKeyUnknown,
    JumpHostFailed,
    NotSsh,
    SshError,
    Unreachable,
    escaped,
)
from deployer.ssh.options import ConnectOptions
from deployer.ssh.route import Hop, route_to

_RETRIED: Final = (ConnectionRefusedError, ConnectionResetError)
_gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, int], asyncio.Semaphore]] = (
    weakref.WeakKeyDictionary()
)


async def dial(host: Host, options: ConnectOptions) -> tuple[asyncssh.SSHClientConnection, ...]:
    """Connections to the jump hosts and, last, to the host. Raises `SshError`s; nothing is left open then."""
    hops = route_to(host)
    connections: list[asyncssh.SSHClientConnection] = []
    try:
        for index, hop in enumerate(hops):
            try:
                async with _gate(hop, options, jump=index < len(hops) - 1):
                    connections.append(await _connect(hop, host, connections[-1] if connections else None, options))
            except SshError as error:
                if index == len(hops) - 1:
                    raise
                raise JumpHostFailed(host.name, hop.label, error) from error
    except BaseException:
        for connection in reversed(connections):
            connection.abort()
        raise
    return tuple(connections)


@contextlib.asynccontextmanager
async def _gate(hop: Hop, options: ConnectOptions, *, jump: bool) -> AsyncIterator[None]:
    """A place among the logins that are under way at a jump host."""
    if not jump:
        yield
        return
    gates = _gates.setdefault(asyncio.get_running_loop(), {})
    gate = gates.setdefault((hop.address, hop.port), asyncio.Semaphore(options.unauthenticated_per_jump))
    async with gate:
        yield


async def _connect(
    hop: Hop, host: Host, tunnel: asyncssh.SSHClientConnection | None, options: ConnectOptions
) -> asyncssh.SSHClientConnection:
    seconds = host.connection.connect_timeout
    try:
        async with asyncio.timeout(seconds):
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_RETRIED),
                stop=stop_after_attempt(options.attempts),
                wait=wait_random_exponential(multiplier=0.1, max=1.0),
                reraise=True,
            ):
                with attempt:
                    return await _attempt(hop, tunnel, options)
    except TimeoutError:
        advice = "Check the address, the route and the firewall; `connection: {connect_timeout: SECONDS}` gives it longer."
        raise Unreachable(hop.host, hop.address, hop.port, f"it gave no answer within {seconds:g} s", advice) from None
    except OSError as error:
        raise _unreachable(hop, error) from None
    raise AssertionError("tenacity returned without an attempt")


async def _attempt(
    hop: Hop, tunnel: asyncssh.SSHClientConnection | None, options: ConnectOptions
) -> asyncssh.SSHClientConnection:
    client = _Client(hop)
    given = {"tunnel": tunnel, **hop.options}
    try:
        connection = await asyncssh.connect(
            hop.target,
            client_factory=lambda: client,
            known_hosts=hop.trust,
            keepalive_interval=options.keepalive_interval,
            keepalive_count_max=options.keepalive_count,
            connect_timeout=None,
            **given,
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise _host_key_error(hop, client, str(error)) from None
    except asyncssh.PermissionDenied:
        raise AuthenticationFailed(hop.host, hop.user, hop.address, hop.port, hop.identities.files, hop.agent) from None
    except asyncssh.KeyExchangeFailed as error:
        if hop.trust.known and "host key" in error.reason.lower():
            raise HostKeyChanged(hop.host, hop.address, hop.port, "", _shown(hop.trust.known)) from None
        raise NotSsh(hop.host, hop.address, hop.port, escaped(error.reason)) from None
    except (asyncssh.ConnectionLost, ConnectionResetError) as error:
        if hop.trust.known and client.spoke and client.shown is None:
            raise HostKeyChanged(
                hop.host, hop.address, hop.port, await _other_key(hop, tunnel), _shown(hop.trust.known)
            ) from None
        if isinstance(error, ConnectionResetError):
            raise
        advice = "Check the host's log; it may be starting, or drop logins because too many come at once (MaxStartups)."
        reason = f"it closed the connection during the login ({escaped(error.reason)})"
        raise Unreachable(hop.host, hop.address, hop.port, reason, advice) from None
    except asyncssh.ChannelOpenError as error:
        advice = "Check the address as the jump host sees it, and that the jump host allows forwarding (AllowTcpForwarding)."
        reason = f"the jump host does not get through: {escaped(error.reason)}"
        raise Unreachable(hop.host, hop.address, hop.port, reason, advice) from None
    except asyncssh.DisconnectError as error:
        raise NotSsh(hop.host, hop.address, hop.port, escaped(error.reason)) from None
    if client.new_key is not None:
        try:
            await asyncio.to_thread(known_hosts.remember, hop.host, hop.key_name, hop.port, client.new_key)
        except BaseException:
            connection.abort()
            raise
    return connection


class _Client(asyncssh.SSHClient):
    """Decides on keys that no file knows."""

    def __init__(self, hop: Hop) -> None:
        self._hop = hop
        self.shown: asyncssh.SSHKey | None = None
        self.new_key: asyncssh.SSHKey | None = None
        self._connection: asyncssh.SSHClientConnection | None = None

    @property
    def spoke(self) -> bool:
        """Whether an SSH server introduced itself."""
        return self._connection is not None and bool(self._connection.get_extra_info("server_version"))

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Remember the connection."""
        self._connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Only `accept-new`, and only for a host of which no key is known."""
        self.shown = key
        if self._hop.accept_new and not self._hop.trust.known:
            self.new_key = key
            return True
        return False


async def _other_key(hop: Hop, tunnel: asyncssh.SSHClientConnection | None) -> str:
    """The fingerprint of the key of a server that has none of the known kinds; empty where it does not tell."""
    given = {key: value for key, value in hop.options.items() if key in {"config", "port"}}
    try:
        key = await asyncssh.get_server_host_key(hop.target, tunnel=tunnel, **given)
    except (asyncssh.Error, OSError):
        return ""
    return _fingerprint(key) if key is not None else ""


def _host_key_error(hop: Hop, client: _Client, reason: str) -> SshError:
    shown = _fingerprint(client.shown) if client.shown is not None else ""
    if "revoked" in reason:
        return HostKeyRevoked(hop.host, hop.address, hop.port, shown or "that it has")
    if hop.trust.known:
        return HostKeyChanged(hop.host, hop.address, hop.port, shown, _shown(hop.trust.known))
    return HostKeyUnknown(hop.host, hop.address, hop.port, shown or escaped(reason))


def _fingerprint(key: asyncssh.SSHKey) -> str:
    return f"{key.get_algorithm()} {key.get_fingerprint()}"


def _shown(keys: list[asyncssh.SSHKey]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_fingerprint(key) for key in keys))


def _unreachable(hop: Hop, error: OSError) -> Unreachable:
    match error:
        case socket.gaierror():
            reason, advice = "its name is not known", "Check the name, or give `connection: {address: …}`."
        case ConnectionRefusedError():
            reason, advice = "it refuses the connection", "Check the port, and that the SSH server runs there."
        case ConnectionResetError():
            reason, advice = "it resets the connection", "Check the host's SSH server and the firewall between."
        case _:
            reason, advice = (error.strerror or str(error)), "Check the address, the route and the firewall."
    return Unreachable(hop.host, hop.address, hop.port, escaped(reason), advice)
