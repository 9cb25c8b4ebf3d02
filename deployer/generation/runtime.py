"""The host runtime: what of us runs on hosts, as one zipapp in the store.

The zip file is the same to the byte wherever it is made: members in order, one date, stored rather than compressed (zlib's
output differs from version to version). So its store path, and that of every system that refers to it, is a function of
the source code alone.
"""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path
from typing import Final

import deployer

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
