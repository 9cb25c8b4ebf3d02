"""What stands at a path, or is to, in one string: equal for equal content, mode and owner."""

from __future__ import annotations

import hashlib
from typing import Final, Optional

from deployer.formats import manifest as m
from deployer.host.disk import Disk
from deployer.host.disk_entry import DIRECTORY, FILE, LINK
from deployer.host.ledger import Metadata, Original, OwnedPath

ABSENT: Final = "absent"


def fingerprint(disk: Disk, path: str) -> str:
    """What stands at a path."""
    entry = disk.entry(path)
    if entry is None:
        return ABSENT
    if entry.kind == LINK:
        return f"link {entry.target}"
    owner = f"{entry.metadata.mode:o} {entry.metadata.uid} {entry.metadata.gid}"
    if entry.kind == FILE:
        return f"file {hashlib.sha256(disk.read(path)).hexdigest()} {owner}"
    return f"{entry.kind} {owner}"


def fingerprint_of(disk: Disk, original: Optional[Original]) -> str:
    """What stands at a path once its original is back."""
    if original is None:
        return ABSENT
    if original.kind == LINK:
        return f"link {original.target}"
    if original.kind == DIRECTORY:
        return directory_fingerprint(original.metadata)
    metadata = original.metadata
    digest = hashlib.sha256(disk.read(original.copy)).hexdigest()
    return f"file {digest} {metadata.mode:o} {metadata.uid} {metadata.gid}"


def left_as(owned: OwnedPath) -> str:
    """The fingerprint of an entry of ours that nobody has touched since we made it."""
    if owned.kind in (m.LINK, m.SYMLINK):
        return f"link {owned.target}"
    if owned.kind == m.DIRECTORY:
        return directory_fingerprint(Metadata(owned.mode, owned.uid, owned.gid))
    return f"file {owned.sha256} {owned.mode:o} {owned.uid} {owned.gid}"


def directory_fingerprint(metadata: Metadata) -> str:
    """What a directory with these is like."""
    return f"directory {metadata.mode:o} {metadata.uid} {metadata.gid}"
