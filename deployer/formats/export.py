"""The export stream: what `nix-store --export` writes and `nix-store --import` reads (Nix: export-import.cc).

    stream = (int 1, NAR, int 0x4558494e, str PATH, int COUNT, str REFERENCE…, str DERIVER, int 0)… int 0

The NAR comes before the name of its path, so a reader unpacks aside first and learns afterwards where it belongs. The stream
tells no hash: what is read is hashed, and whoever registers it trusts the stream, or the signatures that it has from elsewhere.
"""

from __future__ import annotations

import hashlib
from typing import Callable, Dict, Final, Iterable, Iterator, List, Mapping, Set, Tuple

from deployer.formats.hashes import Hash
from deployer.formats.nar import NarReader, NarRefused, NarSink, read_number, read_string, token
from deployer.formats.pathstream import PathHeader
from deployer.formats.storepath import STORE_DIR, StorePath

MAGIC: Final = 0x4558494E
MAX_REFERENCES: Final = 1 << 20
MAX_PATH: Final = 4096
MAX_SIGNATURE: Final = 1 << 16

Write = Callable[[bytes], object]


class ExportWriter:
    """Writes paths one after another; `export_order` says in which order Nix takes them."""

    def __init__(self, write: Write) -> None:
        """Every byte goes to `write`."""
        self._write = write

    def path(self, header: PathHeader, write_nar: Callable[[Write], object]) -> None:
        """Write one path; `write_nar(write)` writes its NAR."""
        self._write(_int(1))
        write_nar(self._write)
        references = sorted(set(header.references))
        self._write(
            b"".join(
                (
                    _int(MAGIC),
                    token(header.path.encode()),
                    _int(len(references)),
                    *(token(reference.encode()) for reference in references),
                    token(header.deriver.encode()),
                    _int(0),
                )
            )
        )

    def end(self) -> None:
        """No path follows."""
        self._write(_int(0))


def read_export(read: Callable[[int], bytes], sink: Callable[[], NarSink], store_dir: str = STORE_DIR) -> Iterator[PathHeader]:
    """Read a stream to its end: each path's tree goes into a sink of its own, then its header is yielded.

    `read(n)` returns exactly n bytes or raises; nothing after the end is read. Raises `NarRefused` or `StorePathRefused`. The
    reader takes what Nix takes, but for what Nix never writes: references out of order or twice, a path that comes twice.
    """
    seen: Set[str] = set()
    while True:
        start = read_number(read)
        if start == 0:
            return
        if start != 1:
            raise NarRefused("it is not what `nix-store --export` writes")
        digest, size = _tree(read, sink())
        path, references, deriver = _trailer(read, store_dir)
        if path in seen:
            raise NarRefused(f"{path} comes twice")
        seen.add(path)
        yield PathHeader(path, digest, size, references, deriver)


def export_order(references: Mapping[str, Iterable[str]]) -> List[str]:
    """Paths in the order in which Nix exports them: what a path refers to comes before it, otherwise by name.

    `references` has every path that is exported; what they refer to besides is left out. Raises `NarRefused` for a cycle.
    """
    done: Dict[str, bool] = {}
    order: List[str] = []
    for first in sorted(references):
        todo = [first]
        while todo:
            path = todo[-1]
            if path not in done:
                done[path] = False
                inner = sorted((one for one in references[path] if one in references and one != path), reverse=True)
                if any(done.get(one) is False for one in inner):
                    raise NarRefused(f"{path} refers to what refers to it")
                todo += [one for one in inner if one not in done]
            else:
                if not done[path]:
                    done[path] = True
                    order.append(path)
                todo.pop()
    return order


def _tree(read: Callable[[int], bytes], sink: NarSink) -> Tuple[str, int]:
    digest, size = hashlib.sha256(), 0

    def feed(data: bytes) -> None:
        nonlocal size
        digest.update(data)
        size += len(data)

    NarReader(read, sink, feed).tree()
    return Hash("sha256", digest.digest()).base32, size


def _trailer(read: Callable[[int], bytes], store_dir: str) -> Tuple[str, Tuple[str, ...], str]:
    if read_number(read) != MAGIC:
        raise NarRefused("no name follows a tree")
    path = _path(read, store_dir)
    count = read_number(read)
    if count > MAX_REFERENCES:
        raise NarRefused(f"{path} has {count} references")
    references: List[str] = []
    for _ in range(count):
        reference = _path(read, store_dir)
        if references and reference <= references[-1]:
            raise NarRefused(f"the references of {path} are out of order")
        references.append(reference)
    text = _text(read)
    deriver = str(StorePath.parse(text, store_dir)) if text else ""
    signed = read_number(read)
    if signed == 1:
        # Before signatures moved into narinfos, one stood here; no Nix has checked it since.
        read_string(read, MAX_SIGNATURE)
    elif signed:
        raise NarRefused(f"{path} ends with {signed}")
    return path, tuple(references), deriver


def _path(read: Callable[[int], bytes], store_dir: str) -> str:
    return str(StorePath.parse(_text(read), store_dir))


def _text(read: Callable[[int], bytes]) -> str:
    return read_string(read, MAX_PATH).decode("utf-8", "replace")


def _int(number: int) -> bytes:
    return number.to_bytes(8, "little")
