"""Builds' logs, kept where Nix keeps them: `drvs/XX/REST.bz2` by the derivation's name; plain while the build runs."""

from __future__ import annotations

import bz2
import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from deployer.errors import DeploymentError
from deployer.formats import StorePath
from deployer.store import Store

_PIECE: Final = 1 << 16
_SUFFIX: Final = ".bz2"
_SHORT: Final = 1 << 16
_YOUNG: Final = 1.0
"""Bytes and seconds up to which a log is only in memory: most builds never make the file that would go at once."""


class LogMissing(DeploymentError):
    """There is no log of a build."""

    path: str

    @property
    def message(self) -> str:
        """Of which."""
        return f"there is no log of {self.path}: it was not built here"


def log_file(store: Store, derivation: str) -> Path:
    """Where the log of a derivation is written while it is built; afterwards it stands beside it with `.bz2`."""
    name = os.path.basename(derivation)
    return store.log_directory / "drvs" / name[:2] / name[2:]


class LogWriter:
    """The log of a build that runs: in memory while it is short and young, then in a file where others can read it."""

    def __init__(self, file: Path) -> None:
        """Nothing is written yet."""
        self.file = file
        self._early = b""
        self._stream: BinaryIO | None = None
        self._started = time.monotonic()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was printed yet."""
        return self._stream is None and not self._early

    def write(self, data: bytes) -> None:
        """Take what the build printed."""
        if self._stream is None:
            self._early += data
            if len(self._early) < _SHORT and time.monotonic() < self._started + _YOUNG:
                return
            data = self._early
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.file.open("wb", buffering=0)
        self._stream.write(data)

    def seal(self) -> None:
        """Compress the log when the build has ended. A reader finds the one or the other at any time.

        A build that printed nothing has none; what an earlier one printed goes.
        """
        packed_file = Path(f"{self.file}{_SUFFIX}")
        if self.is_empty:
            for stale in (self.file, packed_file):
                stale.unlink(missing_ok=True)
            return
        temporary = self.file.with_name(f".{self.file.name}-{os.getpid()}")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        if self._stream is None:
            temporary.write_bytes(bz2.compress(self._early))
        else:
            self._stream.close()
            with self.file.open("rb") as plain, bz2.open(temporary, "wb") as packed:
                shutil.copyfileobj(plain, packed, _PIECE)
        os.replace(temporary, packed_file)
        self.file.unlink(missing_ok=True)


def read_log(store: Store, path: StorePath | str) -> Iterator[bytes]:
    """The log of the last build of a derivation, or of what made an output, in pieces. Raises `LogMissing`."""
    derivation = str(path)
    if not derivation.endswith(".drv"):
        derivation = store.query(derivation).deriver
    if derivation:
        file = log_file(store, derivation)
        for name in (file, Path(f"{file}{_SUFFIX}"), file):
            with contextlib.suppress(FileNotFoundError):
                return _pieces(_open(name))
    raise LogMissing(str(path))


def _open(file: Path) -> BinaryIO:
    return cast("BinaryIO", bz2.open(file, "rb")) if file.suffix == _SUFFIX else file.open("rb")


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(_PIECE):
            yield piece
