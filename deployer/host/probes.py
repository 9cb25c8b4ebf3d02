"""One attempt of a health check: over HTTP, by TCP, with a program, or of a unit. What comes back is data, never trusted."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import Callable, Collection, Dict, Final, Mapping, Optional
from urllib.parse import urlsplit

from deployer.errors import DeployerError
from deployer.formats.manifest import Check
from deployer.host.machine import SystemdPort
from deployer.host.process import one_line, run
from deployer.host.systemd import Systemd, UnitState

LARGEST_BODY: Final = 1 << 20
"""Bytes of an answer that are read and searched."""
SETTLED: Final = 1.0
"""Seconds for which a unit must have been active: one that dies at once is active for a moment too."""
_PIECE: Final = 1 << 16


@dataclass(frozen=True)
class Attempt:
    """How it ended."""

    healthy: bool
    message: str


class Prober:
    """Probes, and remembers how often units had been restarted."""

    def __init__(self, systemd: Optional[SystemdPort] = None, restarts: Optional[Mapping[str, int]] = None) -> None:
        """`restarts` are those from before the activation."""
        self._systemd = systemd or Systemd()
        self._restarts: Dict[str, int] = dict(restarts or {})
        self._kinds: Mapping[str, Callable[[Check], Attempt]] = {
            "http": _http,
            "tcp": _tcp,
            "command": _command,
            "unit": self._unit,
        }

    def attempt(self, check: Check) -> Attempt:
        """Probe once. Whatever goes wrong is the attempt's answer."""
        probe = self._kinds.get(check.kind)
        if probe is None:
            return Attempt(False, f"there is no kind of check '{one_line(check.kind, 40)}'")
        try:
            return probe(check)
        except DeployerError as error:
            return Attempt(False, one_line(error.message))
        except (TimeoutError, socket.timeout):
            return Attempt(False, f"no answer within {check.timeout:g} s")
        except (OSError, http.client.HTTPException, ValueError, OverflowError) as error:
            return Attempt(False, one_line(str(error)) or type(error).__name__)

    def restarts_of(self, units: Collection[str]) -> Dict[str, int]:
        """How often systemd has restarted each so far."""
        states = self._systemd.states(units) if units else {}
        return {name: state.n_restarts for name, state in states.items() if isinstance(state, UnitState)}

    def _unit(self, check: Check) -> Attempt:
        state = self._systemd.states([check.unit])[check.unit]
        if state.active != "active":
            return Attempt(False, f"{check.unit} is {state if isinstance(state, UnitState) else state.active}")
        if isinstance(state, UnitState):
            before = self._restarts.setdefault(check.unit, state.n_restarts)
            # Starting a unit by hand counts from 0 again, so 0 is fine whatever it was before.
            if state.n_restarts not in (0, before):
                since = state.n_restarts - before if state.n_restarts > before else state.n_restarts
                return Attempt(False, f"{check.unit} has been restarted {since} times since the activation")
            age = time.clock_gettime(time.CLOCK_MONOTONIC) - state.active_since
            if age < SETTLED:
                time.sleep(SETTLED - age)
                return self._again(check, state)
        return Attempt(True, f"{check.unit} is active ({state.sub})")

    def _again(self, check: Check, before: UnitState) -> Attempt:
        state = self._systemd.states([check.unit])[check.unit]
        if state == before:
            return Attempt(True, f"{check.unit} is active ({state.sub})")
        return Attempt(False, f"{check.unit} does not stay active: it is {state}")


def _http(check: Check) -> Attempt:
    parts = urlsplit(check.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return Attempt(False, f"{one_line(check.url, 100)} is no address of the form http://HOST/PATH")
    deadline = time.monotonic() + check.timeout
    connection = _connection(parts.scheme, parts.hostname, parts.port, check.timeout)
    try:
        connection.connect()
        sock = connection.sock
        peer = sock.getpeername()[0]
        if ipaddress.ip_address(peer.partition("%")[0]).is_link_local:
            return Attempt(False, f"{peer} is a link-local address, where clouds keep their secrets; checks do not go there")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"User-Agent": "deployer", "Connection": "close"})
        answer = connection.getresponse()
        body = _body(answer, sock, deadline)
    finally:
        connection.close()
    shown = one_line(check.url, 120)
    if answer.status != check.status:
        told = one_line(body.decode("utf-8", "replace"), 120)
        return Attempt(False, f"{shown} answered {answer.status}, and {check.status} is healthy{f': {told}' if told else ''}")
    if check.body and check.body.encode() not in body:
        return Attempt(False, f"{shown} answered {answer.status} without the text '{one_line(check.body, 80)}'")
    return Attempt(True, f"{shown} answered {answer.status}")


def _connection(scheme: str, host: str, port: Optional[int], timeout: float) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout)
    import ssl

    return http.client.HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())


def _body(answer: http.client.HTTPResponse, sock: socket.socket, deadline: float) -> bytes:
    """Up to the bound in size and time, however slowly it trickles in."""
    body = bytearray()
    while len(body) < LARGEST_BODY:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        piece = answer.read1(min(_PIECE, LARGEST_BODY - len(body)))
        if not piece:
            break
        body += piece
    return bytes(body)


def _tcp(check: Check) -> Attempt:
    with socket.create_connection((check.address, check.port), timeout=check.timeout):
        return Attempt(True, f"{one_line(check.address, 100)} port {check.port} accepts connections")


def _command(check: Check) -> Attempt:
    if not check.command:
        return Attempt(False, "it names no command")
    ended = run(check.command, timeout=check.timeout, check=False)
    program = one_line(check.command[0], 100)
    if ended.status == 0:
        return Attempt(True, f"{program} ended with 0")
    how = f"ended with {ended.status}" if ended.status > 0 else f"was killed by signal {-ended.status}"
    words = ended.last_words
    return Attempt(False, one_line(f"{program} {how}{f': {words}' if words else ''}"))
