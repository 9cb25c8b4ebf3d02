"""A cache behind a web server: connections are kept alive, requests repeated, and cut downloads taken up where they ended."""

from __future__ import annotations

import contextlib
import functools
import netrc as netrc_files
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from deployer.cache.errors import CacheUnusable
from deployer.cache.location import Location
from deployer.cache.transports import SMALL, Stream, content_type
from deployer.cache.transports.retries import ATTEMPTS, Again, patiently

if TYPE_CHECKING:
    import urllib3

_ABSENT: Final = frozenset({403, 404, 410})
"""Object stores answer 403 for what they don't have where listing is forbidden; Nix reads it so too."""
_RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONNECTIONS: Final = 32
"""Kept to one server."""
_REDIRECTS: Final = 5
CONNECT_TIMEOUT: Final = 15.0
"""Seconds."""
SILENCE: Final = 60.0
"""Seconds without a byte."""
_SYSTEM_NETRC: Final = Path("/etc/nix/netrc")


class HttpTransport:
    """`http://` and `https://`. Names and passwords come from the address or a netrc file, as Nix has it."""

    is_remote = True

    def __init__(self, location: Location, *, netrc: Path | None = None) -> None:
        """`netrc`: where passwords are; without it `~/.netrc`, and then the machine's, if they exist."""
        self.url = location.shown
        parts = urlsplit(location.url)
        self._scheme, self._netrc = parts.scheme, netrc
        self._login = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username else None
        self._base = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) + "/"

    def get(self, name: str) -> bytes | None:
        """A small file, whole."""
        return patiently(self.url, functools.partial(self._get, name))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Stream | None]:
        """A file as a stream that outlives its connection."""
        url = self._address(name)
        answer = patiently(self.url, functools.partial(self._request, "GET", url))
        if answer is None:
            yield None
            return
        download = _Download(self, url, answer)
        try:
            yield download
        finally:
            download.close()

    def has(self, name: str) -> bool:
        """Whether the server knows it, without its content."""
        answer = patiently(self.url, functools.partial(self._request, "HEAD", self._address(name)))
        if answer is not None:
            answer.drain_conn()
            answer.release_conn()
        return answer is not None

    def put(self, name: str, source: Path) -> None:
        """Send a file."""
        size = str(source.stat().st_size)
        headers = {"Content-Length": size, "Content-Type": content_type(name)}

        def send() -> None:
            with source.open("rb") as file:
                answer = self._request("PUT", self._address(name), headers, file)
            if answer is None:
                raise CacheUnusable(self.url, f"the server does not let us PUT {name}")
            answer.drain_conn()
            answer.release_conn()

        patiently(self.url, send)

    def close(self) -> None:
        """Close the connections."""
        if "_pool" in self.__dict__:
            self._pool.clear()

    def resumed(self, url: str, at: int, etag: str | None) -> urllib3.BaseHTTPResponse:
        """The rest of a file from a byte on; where the server sends all of it, what was there is read and dropped."""
        headers = {"Range": f"bytes={at}-", **({"If-Range": etag} if etag and not etag.startswith("W/") else {})}
        answer = self._request("GET", url, headers)
        if answer is None:
            raise CacheUnusable(self.url, f"{url} vanished while it was read")
        if answer.status == 206:
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {at}-"):
                raise CacheUnusable(self.url, "the server sent another part of a file than it was asked for")
            return answer
        while at:
            piece = answer.read(min(at, 1 << 18))
            if not piece:
                raise CacheUnusable(self.url, f"{url} became shorter while it was read")
            at -= len(piece)
        return answer

    def _get(self, name: str) -> bytes | None:
        import urllib3

        answer = self._request("GET", self._address(name))
        if answer is None:
            return None
        try:
            data = answer.read(SMALL + 1)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            answer.close()
            raise Again(_words(error)) from None
        if len(data) > SMALL:
            answer.close()
            raise CacheUnusable(self.url, f"{name} is longer than {SMALL} bytes")
        answer.release_conn()
        return data

    def _request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: object = None
    ) -> urllib3.BaseHTTPResponse | None:
        """Raises `Again` for what may pass, and `CacheUnusable`."""
        import urllib3

        # A cache may keep its archives elsewhere, but what lets us in here is nobody else's business.
        login = self._authorisation if urlsplit(url).netloc == urlsplit(self._base).netloc else {}
        sent = {"User-Agent": "deployer", "Accept-Encoding": "identity", **login, **(headers or {})}
        try:
            answer = self._pool.request(
                method,
                url,
                headers=sent,
                body=body,  # type: ignore[arg-type]
                preload_content=False,
                retries=urllib3.Retry(_REDIRECTS, connect=0, read=0, status=0, other=0, respect_retry_after_header=False),
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(getattr(error, "reason", error), urllib3.exceptions.ConnectTimeoutError):
                # Whoever was silent for so long will be silent again, and another cache may be waiting for its turn.
                raise CacheUnusable(self.url, f"it does not answer within {CONNECT_TIMEOUT:g} s") from None
            raise Again(_words(error)) from None
        if answer.status < 300:
            return answer
        answer.drain_conn()
        answer.release_conn()
        if answer.status in _ABSENT and method != "PUT":
            return None
        if answer.status in _RETRIED:
            raise Again(f"the server answered {answer.status}")
        hint = "; write the name and the password into a netrc file" if answer.status == 401 else ""
        raise CacheUnusable(self.url, f"the server answered {answer.status} {answer.reason} to {method} {url}{hint}")

    def _address(self, name: str) -> str:
        url = urljoin(self._base, name)
        if urlsplit(url).scheme != self._scheme:
            raise CacheUnusable(self.url, f"it points to {url[:200]}, which is of another kind")
        return url

    @functools.cached_property
    def _pool(self) -> urllib3.PoolManager:
        import urllib.request

        import urllib3

        options = {
            "maxsize": _CONNECTIONS,
            "timeout": urllib3.Timeout(connect=CONNECT_TIMEOUT, read=SILENCE),
            "ca_certs": os.environ.get("NIX_SSL_CERT_FILE") or os.environ.get("SSL_CERT_FILE"),
        }
        proxy = urllib.request.getproxies().get(self._scheme)
        if proxy and not urllib.request.proxy_bypass(urlsplit(self._base).hostname or ""):
            return urllib3.ProxyManager(proxy if "://" in proxy else f"http://{proxy}", **options)  # type: ignore[arg-type]
        return urllib3.PoolManager(**options)  # type: ignore[arg-type]

    @functools.cached_property
    def _authorisation(self) -> Mapping[str, str]:
        import urllib3

        login = self._login or self._login_of_netrc()
        if login is None:
            return {}
        return urllib3.make_headers(basic_auth=f"{login[0]}:{login[1]}")

    def _login_of_netrc(self) -> tuple[str, str] | None:
        host = urlsplit(self._base).hostname or ""
        for file in [self._netrc] if self._netrc else [Path(os.path.expanduser("~/.netrc")), _SYSTEM_NETRC]:
            try:
                found = netrc_files.netrc(str(file)).authenticators(host)
            except FileNotFoundError:
                continue
            except PermissionError:
                continue
            except (OSError, UnicodeDecodeError, netrc_files.NetrcParseError) as error:
                raise CacheUnusable(self.url, f"{file} can't be read: {error}") from None
            if found:
                return found[0], found[2] or ""
        return None


class _Download:
    """The bytes of one file, over as many connections as it takes."""

    def __init__(self, transport: HttpTransport, url: str, answer: urllib3.BaseHTTPResponse) -> None:
        self._transport, self._url, self._answer = transport, url, answer
        self._etag = answer.headers.get("ETag")
        self._is_plain = answer.headers.get("Content-Encoding", "identity") == "identity"
        self._at = 0
        self._failures = 0

    def read(self, size: int, /) -> bytes:
        import urllib3

        while True:
            try:
                # What came before a connection broke must not be lost: no more than one read of the socket at a time.
                piece = self._answer.read1(size)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self._take_up(error)
                continue
            if piece:
                self._at += len(piece)
                self._failures = 0
            return piece

    def close(self) -> None:
        """What was not read to its end is not worth keeping a connection for."""
        self._answer.close()

    def _take_up(self, error: Exception) -> None:
        self._answer.close()
        self._failures += 1
        if self._failures >= ATTEMPTS or not self._is_plain:
            raise CacheUnusable(self._transport.url, _words(error))
        self._answer = patiently(self._transport.url, functools.partial(self._transport.resumed, self._url, self._at, self._etag))


def _words(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error) or type(error).__name__
