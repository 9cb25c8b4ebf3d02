"""Paths to a binary cache, several at once: a path is described there only after its archive, and all it refers to, are there."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deployer.cache.compression import SUFFIXES, Compressor
from deployer.cache.describing import describe, listing, signed
from deployer.cache.errors import CacheUnusable
from deployer.cache.keys import SecretKey
from deployer.cache.location import Location
from deployer.cache.logs import read_log
from deployer.cache.memory import Memory
from deployer.cache.opening import transport_for
from deployer.cache.transports import Transport
from deployer.formats import StorePath
from deployer.formats.hashes import Hash
from deployer.formats.narinfo import NarInfo
from deployer.store import Store

if TYPE_CHECKING:
    from deployer.cache.transports import Opener

_QUESTIONS: Final = 24
"""Under way at the same time."""
_UPLOADS: Final = 6


def push(
    store: Store,
    paths: Iterable[StorePath],
    url: str,
    *,
    compression: str = "zstd",
    key: SecretKey | None = None,
    on_path: Callable[[StorePath], None] = lambda path: None,
    memory: Path | None = None,
    netrc: Path | None = None,
    openers: Mapping[str, Opener] | None = None,
) -> tuple[StorePath, ...]:
    """Copy the closure of paths to the cache at `url`, signed by `key` and the key that the address names.

    Returns what the cache lacked; `on_path` is told of each when it can be had from there. What the address says of the
    compression goes before `compression`. Builds' logs go along. The rest is as in `open_caches`. Raises `CacheUnusable`, and
    `KeyRefused`; what arrived before is whole, and the next push goes on from there.
    """
    location = Location.parse(url)
    keys = [key] if key else []
    if location.secret_key:
        keys.append(_key(location, location.secret_key))
    compression = location.compression or compression
    if compression not in SUFFIXES:
        raise CacheUnusable(location.shown, f"{compression!r} is none of the compressions {', '.join(SUFFIXES)}")
    transport = transport_for(location, netrc, openers)
    if location.scheme == "ssh":
        return _send(store, list(paths), transport, on_path)
    closure = store.closure(paths)
    store.keep(closure)
    with tempfile.TemporaryDirectory(prefix="deployer-cache-") as directory:
        upload = _Upload(store, transport, location, compression, keys, Path(directory))
        try:
            upload.introduce()
            missing = upload.missing(closure)
            return upload.run(missing, on_path)
        finally:
            transport.close()
            if memory is not None and transport.is_remote:
                kept = Memory(memory)
                for path, text in upload.published.items():
                    kept.remember(transport.url, f"{path.hash_part}.narinfo", text)
                kept.close()


class _Upload:
    """One call of `push`."""

    def __init__(
        self,
        store: Store,
        transport: Transport,
        location: Location,
        compression: str,
        keys: Sequence[SecretKey],
        scratch: Path,
    ) -> None:
        self._store, self._transport, self._location = store, transport, location
        self._compression, self._keys, self._scratch = compression, keys, scratch
        self.published: dict[StorePath, bytes] = {}

    def introduce(self) -> None:
        """Say what the cache is, if nobody has said it yet."""
        found = self._transport.get("nix-cache-info")
        if found is None:
            lines = [f"StoreDir: {self._store.store_dir}"]
            if self._location.want_mass_query is not None:
                lines.append(f"WantMassQuery: {int(self._location.want_mass_query)}")
            if self._location.priority is not None:
                lines.append(f"Priority: {self._location.priority}")
            self._put("nix-cache-info", ("\n".join(lines) + "\n").encode())
        elif f"StoreDir: {self._store.store_dir}" not in found.decode("utf-8", "replace").splitlines():
            raise CacheUnusable(self._transport.url, f"it is not a cache of paths for {self._store.store_dir}")

    def missing(self, closure: Sequence[StorePath]) -> list[StorePath]:
        """What the cache lacks, references first."""
        with ThreadPoolExecutor(_QUESTIONS, "deployer-push") as pool:
            there = pool.map(lambda path: self._transport.has(f"{path.hash_part}.narinfo"), closure)
            return [path for path, is_there in zip(closure, there, strict=True) if not is_there]

    def run(self, missing: Sequence[StorePath], on_path: Callable[[StorePath], None]) -> tuple[StorePath, ...]:
        """Archives as they come, descriptions in order."""
        with ThreadPoolExecutor(_UPLOADS, "deployer-push") as pool:
            archives: dict[Future[Any], StorePath] = {pool.submit(self._archive, path): path for path in missing}
            try:
                self._publish(pool, archives, on_path)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return tuple(path for path in missing if path in self.published)

    def _publish(
        self, pool: ThreadPoolExecutor, archives: Mapping[Future[Any], StorePath], on_path: Callable[[StorePath], None]
    ) -> None:
        lacked = set(archives.values())
        described: dict[StorePath, NarInfo] = {}
        publishing: dict[Future[Any], StorePath] = {}
        running: set[Future[Any]] = set(archives)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                if future in publishing:
                    path = publishing[future]
                    self.published[path] = future.result()
                    on_path(path)
                else:
                    described[archives[future]] = future.result()
            for path in [path for path, info in described.items() if self._may_be_published(path, info, lacked)]:
                text = described.pop(path).serialize().encode()
                future = pool.submit(self._describe, path, text)
                publishing[future] = path
                running.add(future)

    def _may_be_published(self, path: StorePath, info: NarInfo, lacked: Collection[StorePath]) -> bool:
        return all(one in self.published or one not in lacked or one == path for one in info.references)

    def _archive(self, path: StorePath) -> NarInfo:
        """Pack a path and send it, with its listing and its build's log."""
        info = self._store.query(path)
        scratch = self._scratch / path.hash_part
        try:
            with scratch.open("wb") as file:
                compressor = Compressor(self._compression, file)
                nar = hashlib.sha256()

                def write(data: bytes) -> None:
                    nar.update(data)
                    compressor.write(data)

                self._store.write_nar(path, write)
                compressor.finish()
            if Hash("sha256", nar.digest()) != Hash.parse(info.nar_hash):
                raise CacheUnusable(self._transport.url, f"{path} is corrupt in our own store and was not sent")
            with scratch.open("rb") as archive:
                packed = Hash("sha256", hashlib.file_digest(archive, "sha256").digest())
            url = f"nar/{packed.nix32}.nar{SUFFIXES[self._compression]}"
            if not self._transport.has(url):
                self._transport.put(url, scratch)
            size = scratch.stat().st_size
        finally:
            scratch.unlink(missing_ok=True)
        if self._location.write_nar_listing:
            self._put(f"{path.hash_part}.ls", listing(self._store, path))
        self._send_log(info.deriver)
        found = describe(info, path, url, self._compression, file_hash=packed.base32, file_size=size)
        return dataclasses.replace(found, signatures=signed(found, self._keys))

    def _describe(self, path: StorePath, text: bytes) -> bytes:
        self._put(f"{path.hash_part}.narinfo", text)
        return text

    def _send_log(self, deriver: str) -> None:
        if not deriver:
            return
        log = read_log(self._store, StorePath.parse(deriver, self._store.store_dir))
        name = f"log/{deriver.rpartition('/')[2]}"
        if log is not None and not self._transport.has(name):
            self._put(name, log)

    def _put(self, name: str, data: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self._scratch) as file:
            file.write(data)
            file.flush()
            self._transport.put(name, Path(file.name))


def _send(
    store: Store, paths: Sequence[StorePath], transport: Transport, on_path: Callable[[StorePath], None]
) -> tuple[StorePath, ...]:
    """To another machine's store, which takes paths as they are."""
    from deployer.cache.transports.ssh import SshTransport

    assert isinstance(transport, SshTransport)
    try:
        sent = transport.peer.send(store, paths, lambda path: on_path(StorePath.parse(path, store.store_dir)))
    finally:
        transport.close()
    return tuple(StorePath.parse(path, store.store_dir) for path in sent)


def _key(location: Location, file: Path) -> SecretKey:
    try:
        return SecretKey.parse(file.read_text())
    except OSError as error:
        raise CacheUnusable(location.shown, f"its secret key can't be read: {error}") from None
