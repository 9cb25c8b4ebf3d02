"""A cache in a directory of this machine."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from deployer.cache.errors import CacheUnusable
from deployer.cache.location import Location
from deployer.cache.transports import SMALL


class FileTransport:
    """A directory, made when something is put there."""

    is_remote = False

    def __init__(self, location: Location) -> None:
        """`file://DIRECTORY`."""
        self.url = location.url
        self._directory = Path(unquote(urlsplit(location.url).path) or "/")

    def get(self, name: str) -> bytes | None:
        """A small file."""
        with self.open(name) as file:
            if file is None:
                return None
            data = file.read(SMALL + 1)
        if len(data) > SMALL:
            raise CacheUnusable(self.url, f"{name} is longer than {SMALL} bytes")
        return data

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes] | None]:
        """A file of the directory, and none outside it."""
        try:
            file = self._inside(name).open("rb")
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise CacheUnusable(self.url, str(error)) from None
        with file:
            yield file

    def has(self, name: str) -> bool:
        """Whether it is a file."""
        return self._inside(name).is_file()

    def put(self, name: str, source: Path) -> None:
        """Under a temporary name first, and on the disk before it has its own."""
        destination = self._inside(name)
        temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(6)}")
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as file, temporary.open("xb") as target:
                while piece := file.read(1 << 20):
                    target.write(piece)
                target.flush()
                os.fsync(target.fileno())
            temporary.rename(destination)
        except OSError as error:
            raise CacheUnusable(self.url, str(error)) from None
        finally:
            temporary.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is held."""

    def _inside(self, name: str) -> Path:
        parts = urlsplit(name)
        if parts.scheme or name.startswith("/") or ".." in name.split("/"):
            raise CacheUnusable(self.url, f"it points to {name[:200]}, which is outside of it")
        return self._directory / name
