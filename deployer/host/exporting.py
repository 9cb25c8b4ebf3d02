"""Paths of the host's store, for whoever speaks the protocol: what is registered of them, and their archives in one stream."""

from __future__ import annotations

import re
import zlib
from typing import Any, Callable, Dict, Final, List, Sequence

from deployer.formats import StorePath
from deployer.formats.frames import FrameRefused
from deployer.host.refusals import RequestRefused
from deployer.store import PathCorrupt, Store

COMPRESSIONS: Final = ("zlib", "none")
_HASH_PART: Final = re.compile("[0-9abcdfghijklmnpqrsvwxyz]{32}")
_MAX_QUESTIONS: Final = 100_000


def describe(store: Store, hash_parts: Sequence[str]) -> Dict[str, Any]:
    """What is registered of the paths whose names begin so; those that are not valid here are left out."""
    if len(hash_parts) > _MAX_QUESTIONS:
        raise FrameRefused("too many paths are asked for")
    found: List[Dict[str, Any]] = []
    for part in hash_parts:
        if not _HASH_PART.fullmatch(part):
            raise RequestRefused("a hash part is not 32 digits of base 32")
        path = store.database.beginning_with(f"{store.store_dir}/{part}-") if store.layout.database.exists() else None
        if path is not None:
            header = store.header(path)
            found.append(
                {
                    "path": header.path,
                    "nar_hash": header.nar_hash,
                    "nar_size": header.nar_size,
                    "references": list(header.references),
                    "deriver": header.deriver,
                    "ca": header.ca,
                    "signatures": list(header.signatures),
                }
            )
    return {"paths": found}


def export(store: Store, paths: Sequence[str], compression: str, send: Callable[[bytes], None]) -> Dict[str, Any]:
    """Send the archives of paths, one after another, each as long as is registered. Raises `PathNotValid`, `PathCorrupt`."""
    if compression not in COMPRESSIONS:
        raise RequestRefused(f"a stream is compressed by one of {', '.join(COMPRESSIONS)}")
    for path in paths:
        StorePath.parse(path, store.store_dir)
    store.keep(paths)
    compressor = zlib.compressobj(1) if compression == "zlib" else None
    for path in paths:
        # One by one, so that what goes before a path that can't be sent arrives whole.
        info = store.query(path)
        size = 0

        def write(data: bytes) -> None:
            nonlocal size
            size += len(data)
            send(compressor.compress(data) if compressor else data)

        store.write_nar(info.path, write)
        if size != info.nar_size:
            raise PathCorrupt(info.path, f"{info.nar_size} bytes long", f"{size}")
        if compressor:
            send(compressor.flush(zlib.Z_SYNC_FLUSH))
    return {"sent": list(paths)}
