"""Paths as one stream, out of a store and into another: what `nix-store --export` and `--import` do."""

from __future__ import annotations

import functools
import hashlib
from typing import Callable, Iterable, List, Tuple

from deployer.formats.export import ExportWriter, export_order, read_export
from deployer.formats.hashes import Hash
from deployer.formats.nar import NarRefused
from deployer.store import trees
from deployer.store.batch import Batch
from deployer.store.database import PathInfo
from deployer.store.errors import PathDamaged
from deployer.store.restoring import Read, exactly
from deployer.store.store import AnyPath, Store


def export_paths(store: Store, paths: Iterable[AnyPath], write: Callable[[bytes], object]) -> Tuple[str, ...]:
    """Write these paths, and not what they refer to. Returns them in the stream's order.

    Raises `PathNotValid`, and `PathDamaged`, so that damage does not spread; the stream is then cut off.
    """
    order = export_order({str(path): store.query(path).references for path in paths})
    store.keep(order)
    writer = ExportWriter(write)
    for path in order:
        writer.path(store.header(path), functools.partial(_write_checked, store, store.query(path)))
    writer.end()
    return tuple(order)


def _write_checked(store: Store, info: PathInfo, write: Callable[[bytes], object]) -> None:
    digest = hashlib.sha256()

    def tee(data: bytes) -> None:
        digest.update(data)
        write(data)

    # Not `Store.write_nar`: what goes wrong while writing is the reader's fault, and not the store's.
    trees.write_nar(str(store.physical(info.path)), tee)
    found = Hash("sha256", digest.digest()).base32
    if found != info.nar_hash:
        raise PathDamaged(info.path, info.nar_hash, found)


def import_paths(store: Store, read: Read) -> Tuple[str, ...]:
    """Register what a stream holds, all of it or nothing. Returns its paths.

    The stream is trusted for what it says of names and references, as Nix trusts it. Raises `NarRefused`, and
    `ReferenceInvalid` where something refers to what is neither here nor in the stream.
    """
    found: List[str] = []
    with store.batch() as batch:
        sinks: List[_Aside] = []

        def sink() -> _Aside:
            sinks.append(_Aside(batch))
            return sinks[-1]

        try:
            for header in read_export(exactly(read), sink, store.store_dir):
                made = sinks.pop()
                made.finish()
                store.keep([header.path])
                info = PathInfo(header.path, header.nar_hash, header.nar_size, header.references, header.deriver)
                batch.move(info, made.place)
                found.append(header.path)
        except BaseException:
            for made in sinks:
                trees.remove(made.place)
            raise
        batch.commit()
    return tuple(found)


class _Aside(trees.Unpacker):
    """Unpacks to a place of a batch."""

    def __init__(self, batch: Batch) -> None:
        self.place = batch.place()
        super().__init__(self.place, _no_file)


def _no_file(name: str) -> str:
    raise NarRefused(f"it names a file {name!r} that is held elsewhere")
