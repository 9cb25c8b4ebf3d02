"""The copy of a closure: one question, one answer, one stream of what is missing."""

from __future__ import annotations

import asyncio
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from deployer.copy.conversation import EventSink
from deployer.errors import JsonValue
from deployer.formats.frames import encode_data, encode_end
from deployer.formats.pathstream import encode_end as encode_end_of_stream
from deployer.store import Store

PIECE: Final = 1 << 18
"""Bytes that are read, framed and sent at a time."""
_BEST_FIRST: Final = ("zstd", "zlib", "none")

PathSink = Callable[[str, int], None]
"""Takes each store path that is registered on the host, and its NAR's size."""


class Receiver(Protocol):
    """Who takes a closure: a host, or a builder."""

    async def missing(self, paths: Collection[str], files: Collection[str] = ()) -> tuple[set[str], set[str]]:
        """Which of the store paths it lacks, and which of the files (by hash) it holds."""
        ...

    async def compressions(self) -> Collection[str]:
        """What it can decompress."""
        ...

    async def stream(
        self, verb: str, pieces: AsyncIterator[bytes], on_event: EventSink | None = None, /, **parameters: JsonValue
    ) -> dict[str, JsonValue]:
        """A request that is followed by a stream of frames."""
        ...


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy came to."""

    paths: int = 0
    bytes: int = 0
    """Over the wire, compressed."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """A path stream that was encoded once, for all hosts that lack the same."""

    file: Path
    size: int


class ClosureSender:
    """Sends closures from the controller's store. Hosts that lack the same paths share one encoding. Close it at the end."""

    def __init__(self, store: Store) -> None:
        """Nothing is encoded yet."""
        self._store = store
        self._directory = tempfile.TemporaryDirectory(prefix="deployer-copy-")
        self._streams: dict[tuple[str, frozenset[str], frozenset[str]], asyncio.Task[_Stream]] = {}

    async def send(self, session: Receiver, system: str, on_path: PathSink) -> Copied:
        """Bring all that a system needs to a host. Every path is verified there before it is registered.

        Raises what the conversation raises; what was registered before stays, and the next copy goes on from there.
        """
        return await self.send_all(session, [system], on_path)

    async def send_all(self, session: Receiver, paths: Iterable[str], on_path: PathSink = lambda _path, _size: None) -> Copied:
        """The same for several paths, in one stream.

        Raises what the conversation raises; what was registered before stays, and the next copy goes on from there.
        """
        closure = [str(path) for path in self._store.closure(paths)]
        missing, _ = await session.missing(closure)
        if not missing:
            return Copied()
        wanted = [path for path in closure if path in missing]
        hashes = await asyncio.to_thread(self._store.file_hashes, wanted)
        _, held = await session.missing((), hashes) if len(missing) < len(closure) else (set(), set())
        offered = await session.compressions()
        compression = next((name for name in _BEST_FIRST if name in offered), "none")
        stream = await self._stream(compression, wanted, frozenset(held))

        def registered(event: Mapping[str, JsonValue]) -> None:
            match event:
                case {"registered": str(path)} if path in missing:
                    on_path(path, self._store.query(path).nar_size)

        await session.stream("import", _frames(stream.file), registered, compression=compression, paths=len(wanted))
        return Copied(len(wanted), stream.size)

    def close(self) -> None:
        """Remove the encoded streams."""
        for task in self._streams.values():
            task.cancel()
        self._directory.cleanup()

    async def _stream(self, compression: str, paths: Sequence[str], held: frozenset[str]) -> _Stream:
        key = (compression, frozenset(paths), held)
        if key not in self._streams:
            file = Path(self._directory.name) / str(len(self._streams))
            work = asyncio.to_thread(_encode, self._store, compression, tuple(paths), held, file)
            self._streams[key] = asyncio.create_task(work)
        return await asyncio.shield(self._streams[key])


def _encode(store: Store, compression: str, paths: Sequence[str], held: frozenset[str], file: Path) -> _Stream:
    with file.open("wb") as out:
        compressor = _compressor(compression)

        def write(data: bytes) -> None:
            out.write(compressor.compress(data) if compressor is not None else data)

        told = _Told(held)
        for path in paths:
            write(store.header(path).encode())
            store.write_nar(path, write, held=told)
            told.path_ends()
        write(encode_end_of_stream())
        if compressor is not None:
            out.write(compressor.flush())
        return _Stream(file, out.tell())


class _Told:
    """What the receiver holds while it reads a stream: files that it held before, and those of the paths that came since."""

    def __init__(self, held: Collection[str]) -> None:
        self._held, self._coming = set(held), set[str]()

    def __call__(self, name: str, _size: int) -> bool:
        """Whether a file, by its hash, need not be sent. The receiver takes one for its own when its path is whole."""
        if name in self._held:
            return True
        self._coming.add(name)
        return False

    def path_ends(self) -> None:
        """What comes next may name the files of this path."""
        self._held |= self._coming
        self._coming.clear()


def _compressor(name: str) -> Any:
    match name:
        case "zstd":
            import zstandard

            return zstandard.ZstdCompressor(level=3).compressobj()
        case "zlib":
            return zlib.compressobj(level=1)
    return None


async def _frames(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as stream:
        while piece := await asyncio.to_thread(stream.read, PIECE):
            yield encode_data(piece)
    yield encode_end()
