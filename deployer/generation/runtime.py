"""The host runtime: what of us runs on hosts. A tree in the store, and one zip file for hosts that don't have it yet.

Both are the same to the byte wherever they are made: no dates, members in order, the zip file stored rather than compressed
(zlib's output differs from version to version). So the runtime's store path, and that of every system that refers to it, is a
function of the source code alone.

The tree is what hosts start from the second time on: Python keeps its byte code in memory (`/run`), which takes half of the
time from each start, and is gone with the power, so that nothing half written is ever read. What recovers a host trusts none.
"""

from __future__ import annotations

import functools
import hashlib
import io
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import deployer
from deployer.formats import StorePath
from deployer.formats.nar import MAGIC, token
from deployer.formats.storepath import make_source_path

if TYPE_CHECKING:
    from deployer.store import Store

ROOMS: Final = ("formats", "store", "sandbox", "host")
"""The rooms that travel, besides the modules that stand beside them."""
NAME: Final = "deployer-runtime"
"""The store path's name."""
BYTE_CODE: Final = "/run/deployer/byte-code"
"""Where hosts keep compiled code, until they reboot."""

_MAIN: Final = f"""\
import sys
if sys.argv[1:2] == ["recover"]:
    sys.dont_write_bytecode = True
else:
    sys.dont_write_bytecode, sys.pycache_prefix = False, "{BYTE_CODE}"
from deployer.host.main import main
sys.exit(main(sys.argv[1:]))
"""
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o100644 << 16
_Tree = dict[str, "bytes | _Tree"]


@functools.cache
def runtime_files() -> Mapping[str, bytes]:
    """The runtime's files by their relative paths."""
    package = Path(deployer.__file__).parent
    files = {"__main__.py": _MAIN.encode()}
    for name in ("__init__.py", "errors.py", "records.py"):
        files[f"deployer/{name}"] = (package / name).read_bytes()
    for room in ROOMS:
        for source in sorted((package / room).rglob("*.py")):
            files[f"deployer/{source.relative_to(package)}"] = source.read_bytes()
    return dict(sorted(files.items()))


@functools.cache
def runtime_image() -> bytes:
    """The zip file's bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in runtime_files().items():
            member = zipfile.ZipInfo(name, date_time=_DATE)
            member.external_attr = _MODE
            member.create_system = 3
            archive.writestr(member, content)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Runtime:
    """The host runtime as a store path."""

    path: StorePath
    """A directory that `python3` runs."""

    def add_to(self, store: Store) -> None:
        """Have it in a store."""
        if store.is_valid(self.path):
            return
        with tempfile.TemporaryDirectory(prefix="deployer-runtime-") as directory:
            for name, content in runtime_files().items():
                file = Path(directory) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                file.chmod(0o644)
            store.add_tree(NAME, Path(directory))


@functools.cache
def runtime(store_dir: str) -> Runtime:
    """The runtime of this version; its path is computed from its files, without a store."""
    digest = hashlib.sha256(token(MAGIC))
    for piece in _nar(_tree(runtime_files())):
        digest.update(piece)
    return Runtime(make_source_path(NAME, digest.digest(), (), store_dir))


def _tree(files: Mapping[str, bytes]) -> _Tree:
    root: _Tree = {}
    for name, content in files.items():
        *parents, last = name.split("/")
        place = root
        for parent in parents:
            inner = place.setdefault(parent, {})
            assert isinstance(inner, dict)
            place = inner
        place[last] = content
    return root


def _nar(node: bytes | _Tree) -> Iterator[bytes]:
    yield from map(token, (b"(", b"type"))
    if isinstance(node, bytes):
        yield from map(token, (b"regular", b"contents", node))
    else:
        yield token(b"directory")
        for name, inner in sorted(node.items()):
            yield from map(token, (b"entry", b"(", b"name", name.encode(), b"node"))
            yield from _nar(inner)
            yield token(b")")
    yield token(b")")
