"""Tiny npm packages, made here so that no registry is asked."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
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
