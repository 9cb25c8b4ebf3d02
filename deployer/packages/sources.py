"""Files beside packages.yaml as store paths: named by the hash of what they hold, so that they are the same on any machine."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deployer.errors import Place
from deployer.packages.derivation_inputs import Source, make_source
from deployer.packages.errors import FileChanged

IGNORED: Final = frozenset({".git"})
"""Never part of a source."""

_Fingerprint = tuple[tuple[str, int, int, int, int], ...]
_cache: dict[tuple[str, str, _Fingerprint], Source] = {}
"""Per process: a directory is hashed once, as long as no name, size, mode or time in it changes."""


class Sources:
    """Hashes sources for one store directory."""

    def __init__(self, store_dir: str) -> None:
        """Nothing is read yet."""
        self._store_dir = store_dir

    def add(self, path: Path, *, wanted: str = "", place: Place | None = None) -> Source:
        """The source at `path`. Raises `FileNotFoundError`, and `FileChanged` where a single file is not `wanted` (SRI)."""
        path = Path(os.path.normpath(path.absolute()))
        key = (self._store_dir, str(path), tuple(_fingerprint(path)))
        if key not in _cache:
            _cache[key] = make_source(path, store_dir=self._store_dir, ignored=IGNORED)
        if wanted:
            _check(path, wanted, place)
        return _cache[key]


def _fingerprint(path: Path) -> Iterator[tuple[str, int, int, int, int]]:
    status = path.lstat()
    yield str(path), status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    if path.is_dir() and not path.is_symlink():
        for name in sorted(os.listdir(path)):
            if name not in IGNORED:
                yield from _fingerprint(path / name)


def _check(path: Path, wanted: str, place: Place | None) -> None:
    algorithm, _, text = wanted.partition("-")
    digest = hashlib.new(algorithm, path.read_bytes()).digest()
    if digest != base64.b64decode(text):
        raise FileChanged(str(path), wanted, f"{algorithm}-{base64.b64encode(digest).decode()}", place)
