"""A host's store, to be read and filled in threads: questions that come together are asked together, over one connection."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import queue
import threading
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from deployer.copy.closure import ClosureSender
from deployer.copy.errors import HostRefused
from deployer.copy.session import HostSession
from deployer.errors import DeployerError, JsonValue
from deployer.formats import StorePath
from deployer.formats.frames import FrameRefused
from deployer.formats.pathstream import PathHeader
from deployer.store import Store

_WAITING: Final = 32
"""Pieces of one archive that wait for their reader."""
_PATIENCE: Final = 0.1
"""Seconds after which it is looked whether a reader is there still."""
_CLOSING: Final = 5.0
"""Seconds for the farewell."""
_MOST: Final = 1 << 20
"""Bytes that one step may inflate to."""
_Result = TypeVar("_Result")


class HostPeer:
    """One host. The connection is made with the first question, and lives in a thread of its own."""

    def __init__(self, connect: Callable[[], Awaitable[HostSession]]) -> None:
        """`connect` is called once."""
        self._connect = connect
        self._session: HostSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._turn = asyncio.Lock()
        self._asked: dict[str, asyncio.Future[PathHeader | None]] = {}
        self._wanted: list[_Archive] = []

    def describe(self, hash_part: str) -> PathHeader | None:
        """What is registered of a path there."""
        return self._run(self._describe(hash_part))

    @contextlib.contextmanager
    def open(self, header: PathHeader) -> Iterator[_Archive]:
        """The NAR of a path."""
        archive = _Archive(header)
        self._begin(self._fetch(archive))
        try:
            yield archive
        finally:
            archive.abandon()

    def send(self, store: Store, paths: Sequence[StorePath], on_path: Callable[[str], None]) -> tuple[str, ...]:
        """Bring paths there, with all that they refer to; returns what was lacking."""
        return self._run(self._send(store, paths, on_path))

    def close(self) -> None:
        """End the connection, and the thread."""
        if self._loop is None or self._thread is None or self._loop.is_closed():
            return
        atexit.unregister(self.close)
        with contextlib.suppress(DeployerError, TimeoutError):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_CLOSING)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSING)
        if not self._thread.is_alive():
            self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        return self._begin(coroutine).result()

    def _begin(self, coroutine: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="deployer-peer", daemon=True)
                self._thread.start()
                atexit.register(self.close)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _connected(self) -> HostSession:
        if self._session is None:
            self._session = await self._connect()
        return self._session

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _describe(self, hash_part: str) -> PathHeader | None:
        if hash_part not in self._asked:
            self._asked[hash_part] = asyncio.get_running_loop().create_future()
        answer = self._asked[hash_part]
        async with self._turn:
            if not answer.done():
                asked, self._asked = self._asked, {}
                try:
                    session = await self._connected()
                    found = _headers(await session.request("describe", hash_parts=[*asked]))
                except BaseException as error:
                    for future in asked.values():
                        future.set_exception(error if isinstance(error, Exception) else FrameRefused("it was cut off"))
                        future.exception()
                    raise
                for part, future in asked.items():
                    future.set_result(found.get(part))
        return answer.result()

    async def _fetch(self, archive: _Archive) -> None:
        self._wanted.append(archive)
        async with self._turn:
            if archive not in self._wanted:
                return
            wanted, self._wanted = self._wanted, []
            try:
                session = await self._connected()
                while wanted:
                    wanted = await self._receive(session, wanted)
            except BaseException as error:
                for one in wanted:
                    one.fail(error)
                if not isinstance(error, DeployerError):
                    raise

    async def _receive(self, session: HostSession, wanted: Sequence[_Archive]) -> list[_Archive]:
        """Have archives sent; one that the host can't send costs none of the others, which are returned to be asked for again."""
        stream = _Stream(wanted)
        try:
            await session.receive("export", stream.take, paths=[one.header.path for one in wanted], compression="zlib")
        except HostRefused as error:
            if not stream.left:
                raise
            stream.left[0].fail(error)
            return stream.left[1:]
        if stream.left:
            raise FrameRefused("a stream ended too early")
        return []

    async def _send(self, store: Store, paths: Sequence[StorePath], on_path: Callable[[str], None]) -> tuple[str, ...]:
        sent: list[str] = []

        def registered(path: str, size: int) -> None:
            sent.append(path)
            on_path(path)

        sender = ClosureSender(store)
        try:
            async with self._turn:
                for path in paths:
                    await sender.send(await self._connected(), str(path), registered)
        finally:
            sender.close()
        return tuple(sent)


class _Stream:
    """Archives one after another, compressed together."""

    def __init__(self, archives: Sequence[_Archive]) -> None:
        self.left = list(archives)
        """Those that are not whole."""
        self._size = archives[0].header.nar_size
        self._inflater = zlib.decompressobj()

    async def take(self, piece: bytes) -> None:
        is_full = False
        while piece or is_full:
            try:
                data = self._inflater.decompress(piece, _MOST)
            except zlib.error as error:
                raise FrameRefused(f"a compressed stream is damaged: {error}") from None
            piece, is_full = self._inflater.unconsumed_tail, len(data) == _MOST
            while data:
                data = await self._give(data)

    async def _give(self, data: bytes) -> bytes:
        if not self.left:
            raise FrameRefused("more came than was announced")
        part = data[: self._size]
        self._size -= len(part)
        await self.left[0].give(part)
        if not self._size:
            self.left.pop(0).finish()
            self._size = self.left[0].header.nar_size if self.left else 0
        return data[len(part) :]


class _Archive:
    """One NAR on its way from the connection's thread to its reader's."""

    def __init__(self, header: PathHeader) -> None:
        self.header = header
        self._pieces: queue.Queue[bytes] = queue.Queue(_WAITING)
        self._piece = b""
        self._error: BaseException | None = None
        self._is_over = self._is_abandoned = False

    def read(self, size: int, /) -> bytes:
        """For the reader."""
        while not self._piece:
            try:
                self._piece = self._pieces.get(timeout=_PATIENCE)
            except queue.Empty:
                if self._error is not None:
                    raise self._error from None
                if self._is_over and self._pieces.empty():
                    return b""
        piece, self._piece = self._piece[:size], self._piece[size:]
        return piece

    def abandon(self) -> None:
        """The reader has gone."""
        self._is_abandoned = True

    async def give(self, piece: bytes) -> None:
        """Wait for the reader, if it is slow."""
        while not self._is_abandoned:
            try:
                self._pieces.put_nowait(piece)
            except queue.Full:
                await asyncio.sleep(_PATIENCE / 10)
            else:
                return

    def finish(self) -> None:
        """There is no more."""
        self._is_over = True

    def fail(self, error: BaseException) -> None:
        """There will be no more, though there should be."""
        if not self._is_over:
            self._error = error if isinstance(error, DeployerError) else FrameRefused("it was cut off")


def _headers(answer: dict[str, JsonValue]) -> dict[str, PathHeader]:
    found: dict[str, PathHeader] = {}
    paths = answer.get("paths")
    for item in paths if isinstance(paths, list) else []:
        match item:
            case {
                "path": str(path),
                "nar_hash": str(nar_hash),
                "nar_size": int(size),
                "references": list(references),
                "deriver": str(deriver),
                "ca": str(ca),
                "signatures": list(signatures),
            } if size > 0:
                header = PathHeader(path, nar_hash, size, tuple(map(str, references)), deriver, ca, tuple(map(str, signatures)))
                found[StorePath.parse(path).hash_part] = header
            case _:
                raise FrameRefused("a path's description lacks a field")
    return found
