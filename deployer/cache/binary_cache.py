"""Paths from a binary cache: described, trusted, fetched and unpacked into a store."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Callable, Collection, Sequence
from typing import IO, Final

from deployer.cache.compression import DECODING, decompressed
from deployer.cache.errors import CacheCorrupt, CacheUnusable, PathNotTrusted
from deployer.cache.keys import PublicKey, is_signed
from deployer.cache.transport import Transport
from deployer.formats import STORE_DIR, NarRefused, StorePath
from deployer.formats.narinfo import NarInfo
from deployer.formats.pathstream import PathHeader
from deployer.formats.storepath import make_source_path
from deployer.store import Batch, PathInfo, Store

_AT_ONCE: Final = 16
"""Questions under way at the same time."""
_DEFAULT_PRIORITY: Final = 50
_PIECE: Final = 1 << 18
_UNBOUNDED: Final = 1 << 62
"""Where the compressed size is not announced; the NAR's own size bounds what is unpacked."""


class BinaryCache:
    """One cache, read only. Fills stores whose logical directory is `store_dir`."""

    def __init__(self, url: str, *, trusted: Sequence[PublicKey], store_dir: str = STORE_DIR, check: bool = True) -> None:
        """What no key of `trusted` signed is refused, unless its content makes its name; `check=False` trusts all."""
        self.url = url
        self._transport = Transport(url)
        self._trusted, self._check, self._store_dir = tuple(trusted), check, store_dir
        self._known: dict[str, NarInfo | None] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._settings: dict[str, str] | None = None

    async def priority(self) -> int:
        """Lower is asked first. Raises `CacheUnusable`."""
        text = (await self._ready()).get("Priority", "")
        return int(text) if text.isdecimal() else _DEFAULT_PRIORITY

    async def query(self, path: StorePath) -> NarInfo | None:
        """What the cache says of a path; None where it does not have it. Raises `CacheUnusable`, `NarInfoRefused`."""
        await self._ready()
        if path.hash_part not in self._known:
            async with self._slots:
                data = await asyncio.to_thread(self._transport.get, f"{path.hash_part}.narinfo")
            text = None if data is None else data.decode("utf-8", "replace")
            self._known[path.hash_part] = None if text is None else NarInfo.parse(text, str(path), self._store_dir)
        info = self._known[path.hash_part]
        if info is not None and info.path != path:
            raise CacheCorrupt(self.url, str(path), f"it is about {info.path}")
        return info

    async def fetch(self, info: NarInfo, batch: Batch) -> PathInfo:
        """Unpack a path into a batch; what it refers to is the caller's care. Raises `CacheCorrupt`, `PathNotTrusted`."""
        return await asyncio.to_thread(self._fetch, info, batch)

    async def held(self, paths: Collection[StorePath]) -> Collection[StorePath]:
        """Those that it has, trusted, with all that they refer to."""
        closure = await self._closure(paths, set())
        return [path for path in paths if self._is_whole(path, closure)]

    async def substitute(self, store: Store, path: StorePath) -> None:
        """Register a path and its closure, but for what is valid already. Raises `CacheCorrupt`, `PathNotTrusted`."""
        infos = await self._closure([path], set(), store)
        for missing, info in infos.items():
            if info is None:
                raise CacheUnusable(self.url, f"it does not have {missing}")
        with store.batch() as batch:
            for info in infos.values():
                assert info is not None
                await self.fetch(info, batch)
            await asyncio.to_thread(batch.commit)

    async def _closure(
        self, paths: Collection[StorePath], valid: set[StorePath], store: Store | None = None
    ) -> dict[StorePath, NarInfo | None]:
        """What the cache says of the paths and all that they refer to, going no further below what the store has."""
        found: dict[StorePath, NarInfo | None] = {}
        todo = set(paths)
        while todo:
            if store is not None:
                await asyncio.to_thread(store.keep, todo)
                there = await asyncio.to_thread(store.valid, todo)
                valid |= {path for path in todo if str(path) in there}
            asked = sorted(todo - valid)
            found.update(zip(asked, await asyncio.gather(*(self.query(path) for path in asked)), strict=True))
            todo = {reference for path in asked if (info := found[path]) for reference in info.references}
            todo -= found.keys() | valid
        return found

    def _is_whole(self, path: StorePath, closure: dict[StorePath, NarInfo | None]) -> bool:
        todo, seen = [path], {path}
        while todo:
            info = closure[todo.pop()]
            if info is None or not self._is_trusted(info):
                return False
            todo += [reference for reference in info.references if reference not in seen]
            seen.update(info.references)
        return True

    async def _ready(self) -> dict[str, str]:
        """The cache's own settings, asked once."""
        if self._settings is None:
            data = await asyncio.to_thread(self._transport.get, "nix-cache-info")
            if data is None:
                raise CacheUnusable(self.url, "it has no nix-cache-info")
            lines = (line.partition(":") for line in data.decode("utf-8", "replace").splitlines())
            settings = {key.strip(): value.strip() for key, _, value in lines}
            if settings.get("StoreDir", self._store_dir) != self._store_dir:
                raise CacheUnusable(self.url, f"its paths are for {settings['StoreDir']}, ours for {self._store_dir}")
            self._settings = settings
        return self._settings

    def _is_trusted(self, info: NarInfo) -> bool:
        return not self._check or is_signed(info, self._trusted) or _content_makes_name(info)

    def _fetch(self, info: NarInfo, batch: Batch) -> PathInfo:
        path = str(info.path)
        if not self._is_trusted(info):
            raise PathNotTrusted(self.url, path, tuple(text.partition(":")[0] for text in info.signatures))
        deriver = f"{self._store_dir}/{info.deriver}" if info.deriver else ""
        references = tuple(str(reference) for reference in info.references)
        header = PathHeader(path, info.nar_hash.base32, info.nar_size, references, deriver)
        with self._transport.open(info.url) as file:
            if file is None:
                raise CacheCorrupt(self.url, path, f"{info.url} is missing")
            try:
                return batch.unpack(header, self._nar(info, file))
            except NarRefused as error:
                raise CacheCorrupt(self.url, path, error.message) from None

    def _nar(self, info: NarInfo, file: IO[bytes]) -> Callable[[int], bytes]:
        """A reader of exactly so many bytes of the NAR. FileHash is not looked at: the NAR's own hash is what is signed."""
        left = info.file_size or _UNBOUNDED

        def compressed(size: int = -1) -> bytes:
            nonlocal left
            try:
                piece = file.read(min(_PIECE, size) if size >= 0 else _PIECE)
            except (OSError, http.client.HTTPException) as error:
                raise CacheUnusable(self.url, str(error) or type(error).__name__) from None
            left -= len(piece)
            if left < 0:
                raise CacheCorrupt(self.url, str(info.path), f"{info.url} is longer than announced")
            return piece

        def exactly(size: int) -> bytes:
            pieces = []
            while size:
                piece = read(min(size, _PIECE))
                if not piece:
                    raise EOFError
                pieces.append(piece)
                size -= len(piece)
            return b"".join(pieces)

        def checked(size: int) -> bytes:
            try:
                return exactly(size)
            except DECODING as error:
                raise CacheCorrupt(self.url, str(info.path), str(error) or "it ends too early") from None

        try:
            read = decompressed(info.compression, compressed)
        except ValueError as error:
            raise CacheUnusable(self.url, str(error)) from None
        return checked


def _content_makes_name(info: NarInfo) -> bool:
    """Whether the NAR's hash alone makes the path, as it does of sources that don't refer to themselves: nobody need sign it."""
    if info.ca != f"fixed:r:{info.nar_hash.base32}":
        return False
    return make_source_path(info.path.name, info.nar_hash.digest, info.references, info.path.store_dir) == info.path
