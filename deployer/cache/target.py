"""Paths to a binary cache: the archives first, then what describes them, so that a reader never finds half."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from deployer.cache.compression import SUFFIXES, Compressor
from deployer.cache.errors import CacheUnusable
from deployer.cache.keys import SecretKey
from deployer.cache.location import Location
from deployer.cache.transports import Transport, open_transport
from deployer.formats import StorePath
from deployer.formats.hashes import Hash
from deployer.formats.narinfo import NarInfo
from deployer.store import PathInfo, Store


def push(
    store: Store,
    paths: Iterable[StorePath],
    url: str,
    *,
    compression: str = "zstd",
    key: SecretKey | None = None,
    on_path: Callable[[StorePath], None] = lambda path: None,
) -> tuple[StorePath, ...]:
    """Copy the closure of paths to the cache at `url`, signed by `key`; returns what it lacked. Raises `CacheUnusable`."""
    if compression not in SUFFIXES:
        raise CacheUnusable(url, f"{compression!r} is none of the compressions {', '.join(SUFFIXES)}")
    transport = open_transport(Location.parse(url))
    pushed = []
    with tempfile.TemporaryDirectory(prefix="deployer-cache-") as directory:
        scratch = Path(directory) / "file"
        _introduce(transport, store, scratch)
        for path in store.closure(paths):
            if transport.has(f"{path.hash_part}.narinfo"):
                continue
            info = _push_archive(store, path, transport, compression, scratch)
            if key:
                info = dataclasses.replace(info, signatures=(key.sign(info),))
            scratch.write_text(info.serialize())
            transport.put(f"{path.hash_part}.narinfo", scratch)
            on_path(path)
            pushed.append(path)
    return tuple(pushed)


def _introduce(transport: Transport, store: Store, scratch: Path) -> None:
    found = transport.get("nix-cache-info")
    if found is None:
        scratch.write_text(f"StoreDir: {store.store_dir}\n")
        transport.put("nix-cache-info", scratch)
    elif f"StoreDir: {store.store_dir}" not in found.decode("utf-8", "replace").splitlines():
        raise CacheUnusable(transport.url, f"it is not a cache of paths for {store.store_dir}")


def _push_archive(store: Store, path: StorePath, transport: Transport, compression: str, scratch: Path) -> NarInfo:
    info = store.query(path)
    with scratch.open("wb") as file:
        compressor = Compressor(compression, file)
        nar = hashlib.sha256()

        def write(data: bytes) -> None:
            nar.update(data)
            compressor.write(data)

        store.write_nar(path, write)
        compressor.finish()
    if Hash("sha256", nar.digest()) != Hash.parse(info.nar_hash):
        raise CacheUnusable(transport.url, f"{path} is corrupt in our own store and was not sent")
    with scratch.open("rb") as archive:
        packed = Hash("sha256", hashlib.file_digest(archive, "sha256").digest())
    url = f"nar/{packed.base32.partition(':')[2]}.nar{SUFFIXES[compression]}"
    transport.put(url, scratch)
    return _describe(info, path, url, compression, packed, scratch.stat().st_size)


def _describe(info: PathInfo, path: StorePath, url: str, compression: str, packed: Hash, size: int) -> NarInfo:
    return NarInfo(
        path,
        url,
        Hash.parse(info.nar_hash),
        info.nar_size,
        tuple(StorePath.parse(reference, path.store_dir) for reference in info.references),
        compression,
        packed.base32,
        size,
        info.deriver.rpartition("/")[2],
        (),
        info.ca,
    )
