"""Bytes from and to a cache, whatever it is: a directory, a web server, an object store. Blocking: callers run it in threads.

Names are relative to the cache: `HASH.narinfo`, `nar/….nar.zst`. What is put is there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from deployer.cache.errors import CacheUnusable

if TYPE_CHECKING:
    from deployer.cache.location import Location

SMALL: Final = 4 << 20
"""Bytes of the longest description that is read."""


class Stream(Protocol):
    """What is read from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class Transport(Protocol):
    """One cache's files. Any method may be called in several threads at once, and raises `CacheUnusable`."""

    @property
    def url(self) -> str:
        """The cache, as people are told of it."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether asking costs a round trip, so that answers are worth remembering."""
        ...

    def get(self, name: str) -> bytes | None:
        """A small file, whole; None where there is none."""
        ...

    def open(self, name: str) -> AbstractContextManager[Stream | None]:
        """A file as a stream; None where there is none. `name` may be a URL of the same kind."""
        ...

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        ...

    def put(self, name: str, source: Path) -> None:
        """Copy a file to the cache."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


Opener = Callable[["Location"], Transport]


def open_transport(location: Location, *, netrc: Path | None = None) -> Transport:
    """The transport for a cache's address. Nothing is asked yet; libraries are imported only for the kind that is meant."""
    match location.scheme:
        case "file":
            from deployer.cache.transports.file import FileTransport

            return FileTransport(location)
        case "s3":
            from deployer.cache.transports.s3 import S3Transport

            return S3Transport(location)
        case "ssh":
            raise CacheUnusable(location.shown, "nothing here can connect by SSH")
        case _:
            from deployer.cache.transports.http import HttpTransport

            return HttpTransport(location, netrc=netrc)


def content_type(name: str) -> str:
    """What servers are told that a file is, as Nix tells them."""
    for suffix, kind in _TYPES.items():
        if name.endswith(suffix):
            return kind
    return "application/x-nix-nar" if name.startswith("nar/") else "text/plain"


_TYPES: Final = {".narinfo": "text/x-nix-narinfo", "nix-cache-info": "text/x-nix-cache-info", ".ls": "application/json"}
