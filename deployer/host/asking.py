"""Asking a web server: one request and its answer, bounded in time and size, however slowly it trickles in."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
from typing import Any, Dict, Final, Iterator, Mapping, Optional, Sequence, Tuple
from urllib.parse import SplitResult, urljoin, urlsplit

from deployer.errors import DeploymentError
from deployer.formats.manifest import Check
from deployer.host.dialing import dial, left_until
from deployer.host.process import one_line
from deployer.host.readings import LARGEST_READING, Answer

_PIECE: Final = 1 << 16
_MOVED: Final = (301, 302, 303, 307, 308)
_PORTS: Final = {"http": 80, "https": 443}
_NO_TLS: Final = "WRONG_VERSION_NUMBER"
"""How OpenSSL calls what does not begin as TLS does."""


class UrlRefused(DeploymentError):
    """An address that a check does not ask."""

    url: str
    reason: str = "is no address of the form http://HOST/PATH"

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"{one_line(self.url, 120)} {self.reason}"


class CertificateRefused(DeploymentError):
    """A server's certificate is not good."""

    reason: str

    @property
    def message(self) -> str:
        """Why."""
        return f"the server's certificate is refused: {one_line(self.reason)}"


class AnswerBroken(DeploymentError):
    """What came is no answer of a web server's."""

    reason: str

    @property
    def message(self) -> str:
        """Why."""
        return one_line(self.reason)


def ask(check: Check) -> Answer:
    """The answer to a check's request, after as many redirects as it allows.

    Raises `UrlRefused`, `CertificateRefused`, `AddressRefused`, `AnswerBroken`, `TimeoutError`, `OSError`.
    """
    try:
        return _last_answer(check)
    except http.client.HTTPException as error:
        raise AnswerBroken(_broken(error)) from None


def _broken(error: http.client.HTTPException) -> str:
    """What is wrong with an answer, as a sentence: the library has only the piece that it stumbled over."""
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server closed the connection without an answer"
    if isinstance(error, http.client.BadStatusLine):
        return (
            f"the server does not speak HTTP: its answer begins '{one_line(str(error), 80)}', and not as 'HTTP/1.1 200 OK' does"
        )
    if isinstance(error, http.client.UnknownProtocol):
        return f"the server speaks '{one_line(str(error), 80)}', and HTTP/1.1 was expected"
    return f"the server's answer is no good HTTP: {str(error) or type(error).__name__}"


def _last_answer(check: Check) -> Answer:
    deadline = time.monotonic() + check.timeout
    first = _parsed(check.url)
    url, parts, method = check.url, first, check.method
    expires: Optional[float] = None
    for left in range(check.redirects, -1, -1):
        at_home = _origin(parts) == _origin(first)
        answer = _exchange(check, url, parts, method, deadline, at_home=at_home)
        expires = min((moment for moment in (expires, answer.expires) if moment is not None), default=None)
        location = answer.headers.get("location")
        if answer.status not in _MOVED or not location or not left:
            break
        url = urljoin(url, location)
        parts = _parsed(url)
        if first.scheme == "https" and parts.scheme != "https":
            raise UrlRefused(url, "is where a redirect leads from https: it is not followed")
        if answer.status == 303 and method != "HEAD":
            method = "GET"
    return Answer(answer.url, answer.status, answer.headers, answer.body, expires)


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme in _PORTS and parts.hostname and "@" not in parts.netloc and (parts.port is None or parts.port > 0):
            return parts
    except ValueError:
        pass
    raise UrlRefused(url)


def _origin(parts: SplitResult) -> object:
    return parts.scheme, parts.hostname, parts.port


def _exchange(check: Check, url: str, parts: SplitResult, method: str, deadline: float, *, at_home: bool) -> Answer:
    """One request. What is meant for the address that was asked does not go to where it redirects."""
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    name = check.server_name if check.server_name and at_home else host
    connection = http.client.HTTPConnection(host, port)
    sock = dial(host, port, deadline)
    try:
        if parts.scheme == "https":
            sock = _secured(check, sock, name, deadline)
        connection.sock, expires = sock, _expiry(sock)
        with _cut_off_at(deadline, sock):
            body = check.send.encode() if check.send and method not in ("GET", "HEAD") else None
            connection.request(method, _path(parts), body, _headers(check, parts, name, at_home=at_home))
            with contextlib.closing(connection.getresponse()) as answer:
                return Answer(url, answer.status, _joined(answer.getheaders()), _body(answer), expires)
    finally:
        connection.close()
        sock.close()


def _joined(headers: Sequence[Tuple[str, str]]) -> Mapping[str, str]:
    """By name; what comes several times is one, as it means the same."""
    joined: Dict[str, str] = {}
    for name, value in headers:
        joined[name.lower()] = f"{joined[name.lower()]}, {value}" if name.lower() in joined else value
    return joined


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _headers(check: Check, parts: SplitResult, name: str, *, at_home: bool) -> Mapping[str, str]:
    shown = f"[{name}]" if ":" in name else name
    host = shown if parts.port in (None, _PORTS[parts.scheme]) else f"{shown}:{parts.port}"
    own: Dict[str, str] = {"Host": host, "User-Agent": "deployer", "Connection": "close"}
    if at_home:
        given = {key.lower() for key in check.headers}
        own = {key: value for key, value in own.items() if key.lower() not in given}
        own.update(check.headers)
    return own


def _secured(check: Check, sock: socket.socket, name: str, deadline: float) -> socket.socket:
    import ssl

    try:
        context = ssl.create_default_context(cafile=check.ca or None)
    except OSError as error:
        raise CertificateRefused(f"{check.ca}: {error.strerror or error}") from None
    if not check.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    sock.settimeout(left_until(deadline))
    try:
        with _cut_off_at(deadline, sock):
            return context.wrap_socket(sock, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        raise CertificateRefused(error.verify_message or str(error)) from None
    except ssl.SSLError as error:
        if error.reason != _NO_TLS:
            raise
        raise AnswerBroken("the server does not speak TLS: its answer is no part of a handshake") from None


def _expiry(sock: Any) -> Optional[float]:
    """When the certificate of the other side expires; None where there is none, or it was not verified."""
    certificate = sock.getpeercert() if hasattr(sock, "getpeercert") else None
    if not certificate or "notAfter" not in certificate:
        return None
    import ssl

    return float(ssl.cert_time_to_seconds(certificate["notAfter"]))


@contextlib.contextmanager
def _cut_off_at(deadline: float, sock: socket.socket) -> Iterator[None]:
    """Whatever is read or written meanwhile ends at the deadline, though each piece of it would be in time."""
    # A handle of our own: TLS takes the descriptor over, and http.client closes it early.
    handle = socket.socket(fileno=os.dup(sock.fileno()))
    timer = threading.Timer(left_until(deadline), lambda: _shut(handle))
    timer.daemon = True
    timer.start()
    try:
        yield
        left_until(deadline)
    except (OSError, http.client.HTTPException, ValueError):
        left_until(deadline)
        raise
    finally:
        timer.cancel()
        handle.close()


def _shut(handle: socket.socket) -> None:
    with contextlib.suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


def _body(answer: http.client.HTTPResponse) -> bytes:
    body = bytearray()
    while len(body) < LARGEST_READING:
        piece = answer.read1(min(_PIECE, LARGEST_READING - len(body)))
        if not piece:
            break
        body += piece
    return bytes(body)
