"""Tiny wheels, made here so that no index is asked."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path


def make_wheel(
    directory: Path,
    name: str,
    files: Mapping[str, str],
    *,
    version: str = "1.0",
    scripts: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
    metadata: str = "",
) -> Path:
    """A wheel of `files` (name → text), whose entry points `scripts` are name → module:function. `metadata`: more of METADATA."""
    information = f"{name}-{version}.dist-info"
    members = {
        **files,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
        f"{information}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    if scripts:
        lines = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        members[f"{information}/entry_points.txt"] = f"[console_scripts]\n{lines}"
    record = "".join(f"{member},sha256={_digest(text)},{len(text.encode())}\n" for member, text in members.items())
    members[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n"
    path = directory / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return path


def sha256(path: Path) -> str:
    """In hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
