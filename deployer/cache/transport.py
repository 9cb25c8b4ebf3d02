"""Bytes from and to a cache: a directory of this machine, or a server. Blocking: callers run it in threads."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final
from urllib.parse import unquote, urljoin, urlsplit

import tenacity

from deployer.cache.errors import CacheUnusable

_ABSENT: Final = frozenset({403, 404, 410})
"""Object stores answer 403 for what they don't have where listing is forbidden; Nix reads it so too."""
_RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_ATTEMPTS: Final = 4
_TIMEOUT: Final = 30.0
_SMALL: Final = 4 << 20


class _Again(Exception):
    """A trouble that may pass."""


class Transport:
    """One cache by its URL."""

    def __init__(self, url: str) -> None:
        """`file://DIRECTORY`, `http://…` or `https://…`. Raises `CacheUnusable`."""
        self.url = url.rstrip("/")
        self._scheme = urlsplit(url).scheme
        if self._scheme not in {"file", "http", "https"}:
            raise CacheUnusable(url, "its scheme is none of file, http, https")

    @property
    def directory(self) -> Path | None:
        """Where a cache of this machine lies."""
        return Path(unquote(urlsplit(self.url).path)) if self._scheme == "file" else None

    def get(self, name: str) -> bytes | None:
        """A small file, whole; None where there is none. Raises `CacheUnusable`."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Again),
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=5),
            reraise=True,
        )
        try:
            return retrying(self._get, name)
        except _Again as error:
            raise CacheUnusable(self.url, str(error)) from None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes] | None]:
        """A file as a stream; None where there is none. `name` may be a URL of the same kind. Raises `CacheUnusable`."""
        try:
            answer = self._open(name)
        except _Again as error:
            raise CacheUnusable(self.url, str(error)) from None
        if answer is None:
            yield None
            return
        with answer:
            yield answer

    def has(self, name: str) -> bool:
        """Whether a small file is there."""
        return self.get(name) is not None

    def put(self, name: str, source: Path) -> None:
        """Copy a file to the cache, whole or not at all. Raises `CacheUnusable`."""
        try:
            if self.directory is not None:
                _place(source, self.directory / name)
                return
            with source.open("rb") as file:
                headers = {"Content-Length": str(source.stat().st_size), "User-Agent": "deployer"}
                request = urllib.request.Request(f"{self.url}/{name}", data=file, headers=headers, method="PUT")
                with urllib.request.urlopen(request, timeout=_TIMEOUT):
                    pass
        except urllib.error.HTTPError as error:
            error.close()
            raise CacheUnusable(self.url, f"the server answered {error.code} to PUT {name}") from None
        except (OSError, http.client.HTTPException) as error:
            raise CacheUnusable(self.url, str(error) or type(error).__name__) from None

    def _get(self, name: str) -> bytes | None:
        answer = self._open(name)
        if answer is None:
            return None
        with answer:
            try:
                data = answer.read(_SMALL + 1)
            except (OSError, http.client.HTTPException) as error:
                raise _Again(str(error) or type(error).__name__) from None
        if len(data) > _SMALL:
            raise CacheUnusable(self.url, f"{name} is longer than {_SMALL} bytes")
        return data

    def _open(self, name: str) -> IO[bytes] | None:
        url = urljoin(self.url + "/", name)
        if urlsplit(url).scheme != self._scheme:
            raise CacheUnusable(self.url, f"it points to {url[:200]}, which is of another kind")
        try:
            if self._scheme == "file":
                return Path(unquote(urlsplit(url).path)).open("rb")
            request = urllib.request.Request(url, headers={"User-Agent": "deployer", "Accept-Encoding": "identity"})
            answer: IO[bytes] = urllib.request.urlopen(request, timeout=_TIMEOUT)
        except FileNotFoundError:
            return None
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _ABSENT:
                return None
            if error.code in _RETRIED:
                raise _Again(f"the server answered {error.code}") from None
            raise CacheUnusable(self.url, f"the server answered {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Again(str(error) or type(error).__name__) from None
        return answer


def _place(source: Path, destination: Path) -> None:
    """Under a temporary name first, and on the disk before it has its own."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(6)}")
    try:
        with source.open("rb") as file, temporary.open("xb") as target:
            while piece := file.read(1 << 20):
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        temporary.rename(destination)
    finally:
        temporary.unlink(missing_ok=True)
