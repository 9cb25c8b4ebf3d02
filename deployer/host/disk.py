"""The one door to the host's disk.

Paths are logical and absolute (`/etc/motd`). Each is walked from the root one component at a time by directory descriptor;
a component that is a link, or that somebody other than root may write, is refused. Whatever changes the disk is announced
to `before_effect` first: crash tests stop the world there. What a method has done when it returns is on the disk.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Collection, Dict, Final, Iterator, List, Optional, Tuple

from deployer.errors import DeploymentError
from deployer.host.ledger import Metadata
from deployer.host.paths import STATE_DIRECTORY

FILE: Final = "file"
LINK: Final = "link"
DIRECTORY: Final = "directory"
OTHER: Final = "other"

_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY: Final = re.compile(r"\.deployer-[0-9a-f]{16}")
_STATE_PARENT: Final = STATE_DIRECTORY.rsplit("/", 1)[0]
_OTHER_IOCTLS: Final = ("alpha", "mips", "parisc", "ppc", "sparc")
"""Machines whose ioctl numbers have the direction elsewhere: asm/ioctl.h of Linux."""
_GET_FLAGS: Final = (0x40006601 if os.uname().machine.startswith(_OTHER_IOCTLS) else 0x80006601) | (
    8 if sys.maxsize >> 32 else 4
) << 16
"""FS_IOC_GETFLAGS of linux/fs.h."""
_LABEL: Final = "security.selinux"
_SEALS: Final = ((0x10, "immutable"), (0x20, "append-only"))
"""FS_IMMUTABLE_FL and FS_APPEND_FL: what chattr(1) sets with `+i` and `+a`."""


class PathRefused(DeploymentError):
    """A path on the host that we do not follow."""

    path: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"{self.path} is not safe to write through: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Declare the real path, or give the directory to root and make it writable by root alone."


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


def _silent(operation: str, path: str) -> None:
    """Nothing is announced outside tests."""


class Disk:
    """Reading and durable writing below one root."""

    def __init__(self, root: Path = Path("/"), before_effect: Callable[[str, str], None] = _silent) -> None:
        """Keep the root open, so that it cannot be swapped for another."""
        self.root = root
        self.before_effect = before_effect
        self._trusted = {0, os.geteuid()}

    # -- reading ---------------------------------------------------------------------------------------------------------

    def entry(self, path: str) -> Optional[Entry]:
        """What stands at `path`; None for nothing, also where a directory above it is missing."""
        try:
            with self._parent(path) as (directory, name):
                status = os.lstat(name, dir_fd=directory)
                target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(status.st_mode) else ""
                is_plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
                xattrs, sealed = self._details(directory, name) if is_plain else (_label(directory, name), "")
        except (FileNotFoundError, NotADirectoryError):
            return None
        metadata = Metadata(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, xattrs)
        kind = _kind(status.st_mode)
        names = status.st_nlink if kind == FILE else 1
        return Entry(kind, metadata, status.st_size, target, status.st_dev, names, sealed)

    def read(self, path: str) -> bytes:
        """The content of a regular file. Raises `FileNotFoundError`, and `PathRefused` for what is none."""
        with self._parent(path) as (directory, name):
            try:
                descriptor = os.open(name, _READ_FLAGS, dir_fd=directory)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise PathRefused(path, "it is a link") from None
                raise
            with open(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise PathRefused(path, "it is not a regular file")
                return file.read()

    def exists(self, path: str) -> bool:
        """Whether anything stands at `path`, links on the way followed: for telling only, never before a change."""
        return os.path.lexists(str(self.root) + path)

    def names(self, path: str) -> List[str]:
        """The names in a directory; none where there is no such directory."""
        try:
            with self._directory(path) as directory:
                return sorted(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def is_read_only(self, path: str) -> bool:
        """Whether a directory lies on a file system that is mounted read-only. Raises `FileNotFoundError`."""
        with self._directory(path) as directory:
            return bool(os.fstatvfs(directory).f_flag & os.ST_RDONLY)

    def half_written(self, path: str, *, but: Collection[str] = ()) -> List[str]:
        """What interrupted writes left in a directory of ours, save what is on its way to the paths `but`."""
        spared = {_temporary(other.rpartition("/")[2]) for other in but if other.rpartition("/")[0] == path}
        return [f"{path}/{name}" for name in self.names(path) if _TEMPORARY.fullmatch(name) and name not in spared]

    # -- writing ---------------------------------------------------------------------------------------------------------

    def write(
        self,
        path: str,
        content: bytes,
        metadata: Metadata,
        *,
        keep_time: bool = False,
        last_look: Callable[[], None] = lambda: None,
    ) -> None:
        """Put a regular file in the place of whatever file or link is at `path`, in one step.

        `last_look` is called just before that step; what it raises leaves `path` as it is.
        """
        with self._parent(path) as (directory, name):
            temporary = self._sweep(path, directory, name)
            self.before_effect("create", path)
            descriptor = os.open(temporary, _CREATE_FLAGS, 0o600, dir_fd=directory)
            try:
                self.before_effect("write", path)
                _write_all(descriptor, content)
                self._apply(descriptor, metadata, keep_time=keep_time)
                self.before_effect("fsync", path)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self.before_effect("rename", path)
            last_look()
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            self._sync(directory, path)

    def link(self, path: str, target: str, metadata: Optional[Metadata] = None) -> None:
        """Put a symbolic link in the place of whatever file or link is at `path`, in one step."""
        with self._parent(path) as (directory, name):
            temporary = self._sweep(path, directory, name)
            self.before_effect("symlink", path)
            os.symlink(target, temporary, dir_fd=directory)
            if metadata is not None:
                os.chown(temporary, metadata.uid, metadata.gid, dir_fd=directory, follow_symlinks=False)
                times = (metadata.mtime_ns, metadata.mtime_ns)
                os.utime(temporary, ns=times, dir_fd=directory, follow_symlinks=False)
                for key, value in metadata.xattrs.items():
                    os.setxattr(_beside(directory, temporary), key, base64.b64decode(value), follow_symlinks=False)
            self.before_effect("rename", path)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            self._sync(directory, path)

    def make_directory(self, path: str, metadata: Metadata) -> None:
        """Make a directory whose parent exists. One that is there already is given mode and owner."""
        with self._parent(path) as (directory, name):
            self.before_effect("mkdir", path)
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=directory)
            descriptor = os.open(name, _DIRECTORY_FLAGS, dir_fd=directory)
            try:
                self._apply(descriptor, metadata, keep_time=False)
                self.before_effect("fsync", path)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._sync(directory, path)

    def remove(self, path: str) -> None:
        """Remove a file or a link, and a temporary one that an interrupted `write` or `link` left. Nothing there is fine."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._parent(path) as (directory, name):
            self._sweep(path, directory, name)
            self.before_effect("unlink", path)
            os.unlink(name, dir_fd=directory)
            self._sync(directory, path)

    def sweep(self, path: str) -> None:
        """Remove the temporary file that an interrupted `write` or `link` to `path` may have left."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._parent(path) as (directory, name):
            self._sweep(path, directory, name)

    def remove_directory(self, path: str) -> bool:
        """Remove a directory if it is empty; say whether it is gone."""
        try:
            with self._parent(path) as (directory, name):
                self.before_effect("rmdir", path)
                os.rmdir(name, dir_fd=directory)
                self._sync(directory, path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EBUSY, errno.EEXIST):
                return False
            raise
        return True

    def remove_tree(self, path: str) -> None:
        """Remove a directory with all that is in it, never crossing a link."""
        found = self.entry(path)
        if found is None:
            return
        if found.kind != DIRECTORY:
            self.remove(path)
            return
        for name in self.names(path):
            self.remove_tree(f"{path}/{name}")
        self.remove_directory(path)

    def append(self, path: str, content: bytes) -> None:
        """Add to the end of a file of ours."""
        with self._parent(path) as (directory, name):
            self.before_effect("append", path)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o600, dir_fd=directory)
            try:
                _write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def overwrite(self, path: str, offset: int, content: bytes) -> None:
        """Write over bytes that are allocated already: this works on a full disk."""
        with self._parent(path) as (directory, name):
            self.before_effect("overwrite", path)
            descriptor = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                if os.pwrite(descriptor, content, offset) != len(content):
                    raise OSError(errno.EIO, "a write was cut short", path)
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def reserve(self, path: str, size: int) -> None:
        """Allocate space, to be given back later by `remove`."""
        with self._parent(path) as (directory, name):
            self.before_effect("reserve", path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o600, dir_fd=directory)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)

    # -- walking ---------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[Tuple[int, str]]:
        above, _, name = path.rpartition("/")
        if not name or name in (".", ".."):
            raise PathRefused(path, "it has no name")
        with self._directory(above or "/") as directory:
            yield directory, name

    @contextlib.contextmanager
    def _directory(self, path: str) -> Iterator[int]:
        descriptor, rest = self._start(path)
        try:
            for part in [part for part in rest.split("/") if part]:
                if part == "..":
                    raise PathRefused(path, "it goes upwards")
                try:
                    child = os.open(part, _DIRECTORY_FLAGS, dir_fd=descriptor)
                except OSError as error:
                    if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and _is_link(part, descriptor)):
                        raise PathRefused(path, f"'{part}' in it is a link") from None
                    raise
                os.close(descriptor)
                descriptor = child
                self._check_trust(path, part, os.fstat(descriptor))
            yield descriptor
        finally:
            os.close(descriptor)

    def _start(self, path: str) -> Tuple[int, str]:
        """Where the walk begins: an administrator may have moved /var or /var/lib elsewhere by a link."""
        below = path == STATE_DIRECTORY or path.startswith(STATE_DIRECTORY + "/")
        base = _STATE_PARENT if below else ""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return os.open(str(self.root) + base, flags), path[len(base) :]

    def _check_trust(self, path: str, part: str, status: os.stat_result) -> None:
        if status.st_uid not in self._trusted:
            raise PathRefused(path, f"'{part}' in it belongs to user {status.st_uid}")
        if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != 0):
            raise PathRefused(path, f"'{part}' in it is writable by others")

    # -- details ---------------------------------------------------------------------------------------------------------

    def _sweep(self, path: str, directory: int, name: str) -> str:
        """The name under which a successor of `name` is made; what an interrupted write left there goes first."""
        temporary = _temporary(name)
        try:
            os.lstat(temporary, dir_fd=directory)
        except FileNotFoundError:
            return temporary
        self.before_effect("unlink", path)
        os.unlink(temporary, dir_fd=directory)
        return temporary

    def _apply(self, descriptor: int, metadata: Metadata, *, keep_time: bool) -> None:
        os.fchown(descriptor, metadata.uid, metadata.gid)
        os.fchmod(descriptor, metadata.mode)
        for name, value in metadata.xattrs.items():
            os.setxattr(descriptor, name, base64.b64decode(value))
        if keep_time:
            os.utime(descriptor, ns=(metadata.mtime_ns, metadata.mtime_ns))

    def _details(self, directory: int, name: str) -> Tuple[Dict[str, str], str]:
        """Extended attributes, access control lists and security labels among them; and how chattr(1) has sealed it."""
        try:
            descriptor = os.open(name, _READ_FLAGS, dir_fd=directory)
        except OSError:
            return {}, ""
        try:
            return _xattrs(descriptor), _sealed(descriptor)
        finally:
            os.close(descriptor)

    def _sync(self, directory: int, path: str) -> None:
        self.before_effect("fsync-directory", path)
        os.fsync(directory)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _xattrs(descriptor: int) -> Dict[str, str]:
    try:
        return {key: base64.b64encode(os.getxattr(descriptor, key)).decode() for key in os.listxattr(descriptor)}
    except OSError:
        return {}


def _label(directory: int, name: str) -> Dict[str, str]:
    """The security label of what has no other attributes that could be put back: a link."""
    try:
        return {_LABEL: base64.b64encode(os.getxattr(_beside(directory, name), _LABEL, follow_symlinks=False)).decode()}
    except OSError:
        return {}


def _beside(directory: int, name: str) -> str:
    """A path, for what takes no directory's descriptor."""
    return f"/proc/self/fd/{directory}/{name}"


def _sealed(descriptor: int) -> str:
    try:
        flags = int.from_bytes(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))[:4], sys.byteorder)
    except OSError:
        return ""  # its file system knows no such thing
    return next((word for bit, word in _SEALS if flags & bit), "")


def _temporary(name: str) -> str:
    return ".deployer-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def _is_link(name: str, directory: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode)
    except OSError:
        return False


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return FILE
    if stat.S_ISLNK(mode):
        return LINK
    return DIRECTORY if stat.S_ISDIR(mode) else OTHER
