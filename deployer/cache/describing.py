"""What is said of a path in a store: its narinfo, its signatures, its listing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from deployer.cache.keys import SecretKey
from deployer.formats import StorePath
from deployer.formats.hashes import Hash
from deployer.formats.listing import Lister
from deployer.formats.narinfo import NarInfo
from deployer.store import PathInfo, Store


def describe(info: PathInfo, path: StorePath, url: str, compression: str, *, file_hash: str = "", file_size: int = 0) -> NarInfo:
    """The narinfo of a path whose archive is at `url`, with the signatures that are registered of it."""
    return NarInfo(
        path,
        url,
        Hash.parse(info.nar_hash),
        info.nar_size,
        tuple(StorePath.parse(reference, path.store_dir) for reference in info.references),
        compression,
        file_hash,
        file_size,
        info.deriver.rpartition("/")[2],
        tuple(info.signatures),
        info.ca,
    )


def signed(info: NarInfo, keys: Iterable[SecretKey]) -> tuple[str, ...]:
    """Its signatures and those of the keys, each once."""
    return tuple(dict.fromkeys([*info.signatures, *(key.sign(info) for key in keys)]))


def sign_paths(store: Store, paths: Iterable[StorePath], key: SecretKey) -> dict[StorePath, str]:
    """Sign paths of a store, so that they can go to others who trust the key. Returns what is new."""
    fresh = {}
    for path in paths:
        info = store.query(path)
        signature = key.sign(describe(info, path, "", "none"))
        if signature not in info.signatures:
            store.add_signatures(path, [signature])
            fresh[path] = signature
    return fresh


def listing(store: Store, path: StorePath) -> bytes:
    """The `.ls` of a path, without reading a byte of its files."""
    lister = Lister()
    _walk(os.fsencode(store.physical(path)), b"", lister)
    return lister.serialize()


def _walk(file: bytes, name: bytes, lister: Lister) -> None:
    status = os.lstat(file)
    if stat.S_ISDIR(status.st_mode):
        lister.directory(name)
        for inner in sorted(os.listdir(file)):
            _walk(file + b"/" + inner, name + b"/" + inner if name else inner, lister)
    elif stat.S_ISLNK(status.st_mode):
        lister.symlink(name, os.readlink(file))
    else:
        lister.file(name, bool(status.st_mode & 0o100), status.st_size, iter(()))
