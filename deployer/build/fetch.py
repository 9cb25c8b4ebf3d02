"""`builtin:fetchurl`: one file from the network or the disk, verified while it streams.

Only troubles of the network are tried again. Passwords come from a netrc file; proxies and `SSL_CERT_FILE` from the environment,
as everywhere on the machine.
`mirror://debian/NAME` is asked of each mirror in turn. Where there are vendor directories, these are asked and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import tenacity

from deployer.build.engine import Progress
from deployer.build.errors import HashMismatch
from deployer.build.limits import FetchLimits
from deployer.build.source_errors import FetchFailed, NotVendored
from deployer.packages.logins import request_to

_CHUNK: Final = 1 << 18
_ATTEMPTS: Final = 4
_SCHEMES: Final = frozenset({"http", "https", "file"})
_RETRIED_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class _NetworkTrouble(Exception):
    """Worth another attempt."""


class _Refused(Exception):
    """Not worth another attempt at this URL."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """One download into one new file."""

    url: str
    destination: Path
    algorithm: str
    digest: bytes | None
    """What the file's content must hash to; None: the caller checks what it makes of it."""
    mirrors: Mapping[str, Sequence[str]]
    limits: FetchLimits
    progress: Progress
    cancelled: threading.Event
    vendor: Sequence[str] = ()
    """URLs of vendor directories: where there are any, a file comes from them or not at all."""

    def run(self) -> None:
        """Fetch it. Raises `FetchFailed`, `NotVendored`, `HashMismatch`."""
        reasons: list[str] = []
        for url in self._candidates():
            try:
                self._with_retries(url)
                return
            except (_Refused, _NetworkTrouble) as trouble:
                reasons.append(f"{url}: {trouble}")
        if self.vendor:
            raise NotVendored((self.url,), tuple(self.vendor), tuple(reasons) or ("what it is to hash to is not a file's hash",))
        raise FetchFailed(self.url, tuple(reasons) or ("no mirror is known",))

    def _candidates(self) -> list[str]:
        if self.vendor:
            place = vendored_place(self.algorithm, self.digest) if self.digest is not None else ""
            return [f"{vendor.rstrip('/')}/{place}" for vendor in self.vendor if place]
        parts = urlsplit(self.url)
        if parts.scheme != "mirror":
            return [self.url]
        name = quote(f"{parts.netloc}{parts.path}".partition("/")[2], safe="/~+%")
        return [f"{mirror.rstrip('/')}/{name}" for mirror in self.mirrors.get(parts.netloc, ())]

    def _with_retries(self, url: str) -> None:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_NetworkTrouble),
            stop=tenacity.stop_any(tenacity.stop_after_attempt(_ATTEMPTS), tenacity.stop_when_event_set(self.cancelled)),
            wait=tenacity.wait_exponential_jitter(multiplier=self.limits.first_wait, max=10),
            sleep=tenacity.sleep_using_event(self.cancelled),
            reraise=True,
        )
        retrying(self._attempt, url)

    def _attempt(self, url: str) -> None:
        try:
            found = self._stream(url)
        except urllib.error.HTTPError as error:
            error.close()
            kind = _NetworkTrouble if error.code in _RETRIED_STATUS else _Refused
            hint = "; write the name and the password into ~/.netrc" if error.code == 401 else ""
            raise kind(f"the server answered {error.code} {error.reason}{hint}") from None
        except urllib.error.URLError as error:
            local = urlsplit(url).scheme == "file" or isinstance(error.reason, ssl.SSLCertVerificationError)
            raise (_Refused if local else _NetworkTrouble)(str(error.reason)) from None
        except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise _NetworkTrouble(str(error) or type(error).__name__) from None
        if self.digest is not None and found != self.digest:
            raise HashMismatch(url, sri(self.algorithm, self.digest), sri(self.algorithm, found))

    def _stream(self, url: str) -> bytes:
        if urlsplit(url).scheme not in _SCHEMES:
            raise _Refused("its scheme is none of http, https, file")
        digest = hashlib.new(self.algorithm)
        request = request_to(url, headers={"Accept-Encoding": "identity"})
        with urllib.request.urlopen(request, timeout=self.limits.timeout) as answer, self.destination.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0)
            received = 0
            while chunk := answer.read(_CHUNK):
                if self.cancelled.is_set():
                    raise _Refused("it was cancelled")
                received += len(chunk)
                if received > self.limits.size:
                    raise _Refused(f"it is longer than {self.limits.size} bytes")
                digest.update(chunk)
                file.write(chunk)
                self.progress(url, received, total)
            if total and received < total:
                raise _NetworkTrouble(f"the connection ended after {received} of {total} bytes")
        return digest.digest()


def vendored_place(algorithm: str, digest: bytes) -> str:
    """Where a file of this hash lies in a vendor directory."""
    return f"{algorithm}/{digest.hex()}"


def sri(algorithm: str, digest: bytes) -> str:
    """A hash as packages write it: `sha256-…`, base 64."""
    return f"{algorithm}-{base64.b64encode(digest).decode()}"
