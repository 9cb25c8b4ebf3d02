"""The host runtime: what of us runs on hosts, as one zipapp in the store.

The zip file is the same to the byte wherever it is made: members in order, one date, stored rather than compressed (zlib's
output differs from version to version). So its store path, and that of every system that refers to it, is a function of
the source code alone.
"""

from __future__ import annotations

import functools
import hashlib
import io
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import deployer
from deployer.formats import StorePath
from deployer.formats.nar import MAGIC, token
from deployer.formats.storepath import make_source_path

if TYPE_CHECKING:
    from deployer.store import Store

ROOMS: Final = ("formats", "store", "host")
"""The rooms that travel, besides `deployer/__init__.py` and `deployer/errors.py`."""
ARCHIVE: Final = "deployer.pyz"
"""The file's name within its store path."""
NAME: Final = "deployer-runtime"
"""The store path's name."""

_MAIN: Final = "import sys\nfrom deployer.host.main import main\nsys.exit(main(sys.argv[1:]))\n"
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o100644 << 16


@functools.cache
def runtime_image() -> bytes:
    """The zipapp's bytes."""
    package = Path(deployer.__file__).parent
    members = {"__main__.py": _MAIN.encode()}
    for name in ("__init__.py", "errors.py"):
        members[f"deployer/{name}"] = (package / name).read_bytes()
    for room in ROOMS:
        for source in sorted((package / room).rglob("*.py")):
            members[f"deployer/{source.relative_to(package)}"] = source.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(members.items()):
            member = zipfile.ZipInfo(name, date_time=_DATE)
            member.external_attr = _MODE
            member.create_system = 3
            archive.writestr(member, content)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Runtime:
    """The host runtime as a store path."""

    path: StorePath
    """A directory that holds `ARCHIVE`."""
    image: bytes

    @property
    def archive(self) -> str:
        """The zipapp's path, on every machine."""
        return f"{self.path}/{ARCHIVE}"

    def add_to(self, store: Store) -> None:
        """Have it in a store."""
        if store.is_valid(self.path):
            return
        with tempfile.TemporaryDirectory(prefix="deployer-runtime-") as directory:
            (Path(directory) / ARCHIVE).write_bytes(self.image)
            (Path(directory) / ARCHIVE).chmod(0o644)
            store.add_tree(NAME, Path(directory))


@functools.cache
def runtime(store_dir: str) -> Runtime:
    """The runtime of this version; its path is computed from its bytes, without a store."""
    image = runtime_image()
    node = token(b"(") + token(b"type") + token(b"regular") + token(b"contents") + token(image) + token(b")")
    entry = token(b"entry") + token(b"(") + token(b"name") + token(ARCHIVE.encode()) + token(b"node") + node + token(b")")
    nar = token(MAGIC) + token(b"(") + token(b"type") + token(b"directory") + entry + token(b")")
    return Runtime(make_source_path(NAME, hashlib.sha256(nar).digest(), (), store_dir), image)
