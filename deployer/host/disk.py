"""The one door to the host's disk.

Whatever changes the disk is announced to `before_effect` first: crash tests stop the world there. What a method has done when
it returns is on the disk. Paths are as `disk_walk` says.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Callable, Collection, Final, List, Optional

from deployer.host.disk_entry import DIRECTORY, READ_FLAGS, Entry, entry_at, path_beside
from deployer.host.disk_walk import DIRECTORY_FLAGS, PathRefused, Walk
from deployer.host.ledger import Metadata

_CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY: Final = re.compile(r"\.deployer-[0-9a-f]{16}")


def _silent(operation: str, path: str) -> None:
    """Nothing is announced outside tests."""


class Disk:
    """Reading and durable writing below one root."""

    def __init__(self, root: Path = Path("/"), before_effect: Callable[[str, str], None] = _silent) -> None:
        """`root` is where the host's own begins; `before_effect` is told what is about to happen, and to which path."""
        self.root = root
        self.before_effect = before_effect
        self._walk = Walk(root)

    # -- reading ---------------------------------------------------------------------------------------------------------

    def entry(self, path: str) -> Optional[Entry]:
        """What stands at `path`; None for nothing, also where a directory above it is missing."""
        try:
            with self._walk.parent(path) as (directory, name):
                return entry_at(directory, name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, path: str) -> bytes:
        """The content of a regular file. Raises `FileNotFoundError`, and `PathRefused` for what is none."""
        with self._walk.parent(path) as (directory, name):
            try:
                descriptor = os.open(name, READ_FLAGS, dir_fd=directory)
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
            with self._walk.directory(path) as directory:
                return sorted(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def is_read_only(self, path: str) -> bool:
        """Whether a directory lies on a file system that is mounted read-only. Raises `FileNotFoundError`."""
        with self._walk.directory(path) as directory:
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
        with self._walk.parent(path) as (directory, name):
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
        with self._walk.parent(path) as (directory, name):
            temporary = self._sweep(path, directory, name)
            self.before_effect("symlink", path)
            os.symlink(target, temporary, dir_fd=directory)
            if metadata is not None:
                os.chown(temporary, metadata.uid, metadata.gid, dir_fd=directory, follow_symlinks=False)
                times = (metadata.mtime_ns, metadata.mtime_ns)
                os.utime(temporary, ns=times, dir_fd=directory, follow_symlinks=False)
                for key, value in metadata.xattrs.items():
                    os.setxattr(path_beside(directory, temporary), key, base64.b64decode(value), follow_symlinks=False)
            self.before_effect("rename", path)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            self._sync(directory, path)

    def make_directory(self, path: str, metadata: Metadata) -> None:
        """Make a directory whose parent exists. One that is there already is given mode and owner."""
        with self._walk.parent(path) as (directory, name):
            self.before_effect("mkdir", path)
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=directory)
            descriptor = os.open(name, DIRECTORY_FLAGS, dir_fd=directory)
            try:
                self._apply(descriptor, metadata, keep_time=False)
                self.before_effect("fsync", path)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._sync(directory, path)

    def remove(self, path: str) -> None:
        """Remove a file or a link, and a temporary one that an interrupted `write` or `link` left. Nothing there is fine."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._walk.parent(path) as (directory, name):
            self._sweep(path, directory, name)
            self.before_effect("unlink", path)
            os.unlink(name, dir_fd=directory)
            self._sync(directory, path)

    def sweep(self, path: str) -> None:
        """Remove the temporary file that an interrupted `write` or `link` to `path` may have left."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._walk.parent(path) as (directory, name):
            self._sweep(path, directory, name)

    def remove_directory(self, path: str) -> bool:
        """Remove a directory if it is empty; say whether it is gone."""
        try:
            with self._walk.parent(path) as (directory, name):
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
        with self._walk.parent(path) as (directory, name):
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
        with self._walk.parent(path) as (directory, name):
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
        with self._walk.parent(path) as (directory, name):
            self.before_effect("reserve", path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o600, dir_fd=directory)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)

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

    def _sync(self, directory: int, path: str) -> None:
        self.before_effect("fsync-directory", path)
        os.fsync(directory)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _temporary(name: str) -> str:
    return ".deployer-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
