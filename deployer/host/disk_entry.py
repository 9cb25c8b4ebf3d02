"""What stands at a path of the host's disk. It is looked at by its name in a directory that is open, links not followed."""

from __future__ import annotations

import base64
import fcntl
import os
import stat
import sys
from dataclasses import dataclass
from typing import Dict, Final, Tuple

from deployer.host.ledger import Metadata

FILE: Final = "file"
LINK: Final = "link"
DIRECTORY: Final = "directory"
OTHER: Final = "other"

READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OTHER_IOCTLS: Final = ("alpha", "mips", "parisc", "ppc", "sparc")
"""Machines whose ioctl numbers have the direction elsewhere: asm/ioctl.h of Linux."""
_GET_FLAGS: Final = (0x40006601 if os.uname().machine.startswith(_OTHER_IOCTLS) else 0x80006601) | (
    8 if sys.maxsize >> 32 else 4
) << 16
"""FS_IOC_GETFLAGS of linux/fs.h."""
_LABEL: Final = "security.selinux"
_SEALS: Final = ((0x10, "immutable"), (0x20, "append-only"))
"""FS_IMMUTABLE_FL and FS_APPEND_FL: what chattr(1) sets with `+i` and `+a`."""


@dataclass(frozen=True)
class Entry:
    """What stands at a path."""

    kind: str
    metadata: Metadata
    size: int = 0
    target: str = ""
    """Of a link."""
    device: int = 0
    names: int = 1
    """Under how many names a file stands on its file system: its hard links."""
    sealed: str = ""
    """`immutable` or `append-only`, where chattr(1) has made a file or directory so."""


def entry_at(directory: int, name: str) -> Entry:
    """What stands under a name. Raises `FileNotFoundError`."""
    status = os.lstat(name, dir_fd=directory)
    target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(status.st_mode) else ""
    is_plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    xattrs, sealed = _details(directory, name) if is_plain else (_label(directory, name), "")
    metadata = Metadata(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, xattrs)
    kind = _kind(status.st_mode)
    names = status.st_nlink if kind == FILE else 1
    return Entry(kind, metadata, status.st_size, target, status.st_dev, names, sealed)


def path_beside(directory: int, name: str) -> str:
    """A path, for what takes no directory's descriptor."""
    return f"/proc/self/fd/{directory}/{name}"


def _details(directory: int, name: str) -> Tuple[Dict[str, str], str]:
    """Extended attributes, access control lists and security labels among them; and how chattr(1) has sealed it."""
    try:
        descriptor = os.open(name, READ_FLAGS, dir_fd=directory)
    except OSError:
        return {}, ""
    try:
        return _xattrs(descriptor), _sealed(descriptor)
    finally:
        os.close(descriptor)


def _xattrs(descriptor: int) -> Dict[str, str]:
    try:
        return {key: base64.b64encode(os.getxattr(descriptor, key)).decode() for key in os.listxattr(descriptor)}
    except OSError:
        return {}


def _label(directory: int, name: str) -> Dict[str, str]:
    """The security label of what has no other attributes that could be put back: a link."""
    try:
        return {_LABEL: base64.b64encode(os.getxattr(path_beside(directory, name), _LABEL, follow_symlinks=False)).decode()}
    except OSError:
        return {}


def _sealed(descriptor: int) -> str:
    try:
        flags = int.from_bytes(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))[:4], sys.byteorder)
    except OSError:
        return ""  # its file system knows no such thing
    return next((word for bit, word in _SEALS if flags & bit), "")


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return FILE
    if stat.S_ISLNK(mode):
        return LINK
    return DIRECTORY if stat.S_ISDIR(mode) else OTHER
