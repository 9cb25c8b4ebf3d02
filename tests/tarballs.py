"""Tiny npm packages, and a registry that has them, made here so that no other is asked."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def make_tarball(
    directory: Path,
    name: str,
    files: Mapping[str, str],
    *,
    version: str = "1.0.0",
    links: Mapping[str, str] | None = None,
    top: str = "package",
    **manifest: Any,
) -> Path:
    """A package of `files` (name → text) and symbolic `links` (name → target), with a package.json of `manifest`."""
    members = {"package.json": json.dumps({"name": name, "version": version, **manifest}), **files}
    path = directory / f"{name.rpartition('/')[2]}-{version}.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for member, text in members.items():
            entry = tarfile.TarInfo(f"{top}/{member}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
        for member, target in (links or {}).items():
            entry = tarfile.TarInfo(f"{top}/{member}")
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return path


def integrity(content: bytes, algorithm: str = "sha512") -> str:
    """As lock files write it."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """A registry on the loopback interface with the tarballs that are in a directory. Gives its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=directory)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""
