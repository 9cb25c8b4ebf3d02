"""Taking a path stream into the store: unpacked aside, checked against its hash, synced and registered in batches.

A batch is committed every so many bytes, and what is whole is committed when the stream breaks: a copy that was cut off goes
on with the path that it was at, not from the beginning.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Callable, Collection, Dict, Final, Iterator, List, Sequence, Set, Tuple

from deployer.errors import DeployerError
from deployer.formats import StorePath
from deployer.formats.frames import FrameRefused
from deployer.formats.pathstream import read_header
from deployer.host.inflate import Reader
from deployer.store import Batch, Store

_BATCH_BYTES: Final = 64 << 20
_BATCH_PATHS: Final = 200
_MAX_QUESTIONS: Final = 2_000_000


def missing(store: Store, paths: Sequence[str], files: Sequence[str]) -> Dict[str, Any]:
    """Which paths are not valid here, in the order of the question, and which files are held here."""
    if len(paths) + len(files) > _MAX_QUESTIONS:
        raise FrameRefused("too many paths are asked for")
    for path in paths:
        StorePath.parse(path)
    if store.layout.database.exists():
        store.keep(paths)  # or a collection could take what we are about to call there
    valid = store.valid(paths) - _forget_removed(store, store.valid(paths))
    return {"missing": [path for path in paths if path not in valid], "held": sorted(store.held_files(files))}


def _forget_removed(store: Store, paths: Collection[str]) -> Set[str]:
    """Those that are registered, and that somebody removed by hand: they are valid no longer, nor is what refers to them."""
    if all(os.path.lexists(store.physical(path)) for path in paths):
        return set()
    graph = store.database.graph()
    gone = {path for path in graph if not os.path.lexists(store.physical(path))}
    while True:
        broken = {path for path, references in graph.items() if path not in gone and not gone.isdisjoint(references)}
        if not broken:
            break
        gone |= broken
    store.database.invalidate(sorted(gone))
    return gone


def import_paths(
    store: Store, compression: str, count: int, pieces: Iterator[bytes], tell: Callable[[str], None]
) -> Tuple[str, ...]:
    """Register the paths of a stream; `tell` is called for each. Raises `PathCorrupt`, `StoreFull`, `FrameRefused`."""
    reader = Reader(pieces, compression)
    registered: List[str] = []
    whole = False
    with store.batch() as batch:  # one for all: it knows the files that came, which later paths may name
        while not whole:
            try:
                whole = _fill(batch, reader, count - len(registered))
            except (DeployerError, OSError):
                with contextlib.suppress(DeployerError, OSError):
                    _commit(batch, registered, tell)
                raise
            _commit(batch, registered, tell)
    if len(registered) != count:
        raise FrameRefused(f"{count} paths were announced, and {len(registered)} came")
    return tuple(registered)


def _fill(batch: Batch, reader: Reader, most: int) -> bool:
    """Unpack paths until the batch is large enough, or the stream ends; say whether it has."""
    size = paths = 0
    while size < _BATCH_BYTES and paths < _BATCH_PATHS:
        header = read_header(reader.read)
        if header is None:
            return True
        if paths >= most:
            raise FrameRefused("more paths came than were announced")
        for path in (header.path, *header.references):
            StorePath.parse(path)
        batch.unpack(header, reader.read)
        size += header.nar_size
        paths += 1
    return False


def _commit(batch: Batch, registered: List[str], tell: Callable[[str], None]) -> None:
    for info in batch.commit():
        registered.append(info.path)
        tell(info.path)
