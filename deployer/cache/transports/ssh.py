"""Another machine's store as a cache. No Nix is needed there: it describes paths, and packs them on demand.

The connection is someone else's: who opens caches is given how to make a `Peer` of an address.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from deployer.cache.errors import CacheUnusable
from deployer.cache.location import Location
from deployer.cache.transports import Stream
from deployer.errors import DeployerError
from deployer.formats import STORE_DIR, StorePath
from deployer.formats.hashes import Hash
from deployer.formats.narinfo import NarInfo
from deployer.formats.pathstream import PathHeader
from deployer.store import Store

_SUFFIX: Final = ".narinfo"
_SETTINGS: Final = f"StoreDir: {STORE_DIR}\nWantMassQuery: 1\n"


class Peer(Protocol):
    """A store at the other end of a connection. Its methods block, work in several threads, and raise `DeployerError`."""

    def describe(self, hash_part: str) -> PathHeader | None:
        """What is registered of a path there."""
        ...

    def open(self, header: PathHeader) -> AbstractContextManager[Stream]:
        """The NAR of a path."""
        ...

    def send(self, store: Store, paths: Sequence[StorePath], on_path: Callable[[str], None]) -> tuple[str, ...]:
        """Bring paths of a store there, with all that they refer to; returns what was lacking."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class SshTransport:
    """`ssh://HOST`, as the files of a cache that holds what is valid there."""

    is_remote = False
    """What is in a store goes with its next collection: answers are not worth remembering."""

    def __init__(self, location: Location, peer: Peer) -> None:
        """Nothing is asked yet."""
        self.url, self.peer = location.shown, peer
        self._headers: dict[str, PathHeader] = {}

    def get(self, name: str) -> bytes | None:
        """A description, or what the cache is."""
        if name == "nix-cache-info":
            return _SETTINGS.encode()
        if not name.endswith(_SUFFIX):
            return None
        with self.translated():
            header = self.peer.describe(name.removesuffix(_SUFFIX))
        if header is None:
            return None
        self._headers[header.path] = header
        return _narinfo(header).serialize().encode()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Stream | None]:
        """An archive that was described."""
        header = self._headers.get(name)
        if header is None:
            yield None
            return
        with self.peer.open(header) as stream:
            yield _Reading(self, stream)

    def has(self, name: str) -> bool:
        """Whether a path is there."""
        return self.get(name) is not None

    def put(self, name: str, source: Path) -> None:
        """Not one file after another: `Peer.send`."""
        raise CacheUnusable(self.url, "it is a store, and takes paths rather than files")

    def close(self) -> None:
        """End the connection."""
        self.peer.close()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Tell troubles of the connection, and of the other side, as those of a cache."""
        try:
            yield
        except CacheUnusable:
            raise
        except DeployerError as error:
            raise CacheUnusable(self.url, error.message) from error


class _Reading:
    """A NAR as it comes."""

    def __init__(self, transport: SshTransport, stream: Stream) -> None:
        self._transport, self._stream = transport, stream

    def read(self, size: int, /) -> bytes:
        with self._transport.translated():
            return self._stream.read(size)


def _narinfo(header: PathHeader) -> NarInfo:
    """The archive is named by the path itself."""
    return NarInfo(
        StorePath.parse(header.path),
        header.path,
        Hash.parse(header.nar_hash),
        header.nar_size,
        tuple(StorePath.parse(reference) for reference in header.references),
        "none",
        deriver=header.deriver.rpartition("/")[2],
        signatures=header.signatures,
        ca=header.ca,
    )
