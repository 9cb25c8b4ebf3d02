"""Adding paths: made aside, checked, synced once, renamed, and only then registered, all of a batch together.

A crash at any point leaves either nothing but names in `.making`, which the collector sweeps, or trees in the store that are
not registered, which the next to add them replaces. What is registered was on the disk before.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import Callable, Dict, Final, Iterator, List, Optional, Set, Tuple

from deployer.formats.hashes import Hash
from deployer.formats.nar import NarReader
from deployer.formats.pathstream import PathHeader
from deployer.formats.storepath import StorePath
from deployer.store import trees
from deployer.store.database import Database, PathInfo, nix_hash
from deployer.store.errors import PathCorrupt, PathOccupied, ReferenceInvalid, StoreError, translate
from deployer.store.layout import Layout, exchange, sync_directory, sync_file_system
from deployer.store.locks import TemporaryRoots, held
from deployer.store.owners import owned

Read = Callable[[int], bytes]
MAX_LINKS: Final = 30_000
"""Below what any file system allows for one file."""


class Batch:
    """Paths on their way into a store. Use as a context; what was not committed is removed at its end."""

    def __init__(self, layout: Layout, database: Database, roots: TemporaryRoots, collector_lock: Path) -> None:
        """Use `Store.batch`."""
        self._layout, self._database, self._roots, self._lock = layout, database, roots, collector_lock
        self._pending: List[Tuple[PathInfo, str]] = []
        self._new_files: List[Tuple[str, str, str]] = []
        self._fresh: Dict[str, str] = {}
        """Files that came and have no link by their hash, not yet or because it could not be made: hash to where they lie."""

    def unpack(self, header: PathHeader, read: Read) -> PathInfo:
        """Take a path from a stream. Raises `PathCorrupt` where hash or size are not as announced."""
        info = PathInfo(
            header.path, header.nar_hash, header.nar_size, header.references, header.deriver, header.ca, header.signatures
        )
        self._keep(info)
        digest, size = hashlib.sha256(), 0

        expected = f"{header.nar_hash} ({header.nar_size} bytes)"

        def seen(data: bytes) -> None:
            nonlocal size
            digest.update(data)
            size += len(data)
            if size > header.nar_size:
                raise PathCorrupt(header.path, expected, "longer")

        aside = self.place()
        try:
            with self._translated(header.path):
                sink = trees.Unpacker(aside, self._file)
                NarReader(read, sink, seen, held=True).tree()
                sink.finish()
            found = Hash("sha256", digest.digest()).base32
            if (found, size) != (Hash.parse(header.nar_hash).base32, header.nar_size):
                raise PathCorrupt(header.path, expected, f"{found} ({size} bytes)")
        except BaseException:
            trees.remove(aside)
            raise
        self._take(info, aside)
        return info

    def move(self, info: PathInfo, tree: str) -> None:
        """Take a tree away that stands on the store's file system, with a store's metadata; its hash was computed from it."""
        self._keep(info)
        aside = self.place()
        with self._translated(info.path):
            rename(tree, aside)
        self._take(info, aside)

    def absorb(self, other: Batch) -> None:
        """Take over what another batch has unpacked: one thread unpacks into each, and all are made valid together."""
        self._pending += other._pending
        self._new_files += other._new_files
        other._pending, other._new_files, other._fresh = [], [], {}

    def place(self) -> str:
        """A name aside at which nothing stands."""
        return str(self._layout.aside / owned(secrets.token_hex(8)))

    def commit(self) -> Tuple[PathInfo, ...]:
        """Make all of them valid. Raises `ReferenceInvalid`; then none of them is."""
        pending, self._pending = self._pending, []
        self._fresh = {}
        if not pending:
            return ()
        names = {info.path for info, _ in pending}
        try:
            with held(self._lock, exclusive=False), self._translated(pending[0][0].path):
                self._check_references(pending, names)
                sync_file_system(self._layout.store)
                # One at a time: otherwise what stands at a path could be replaced after another process has registered it.
                with held(self._lock.with_name("commit.lock"), exclusive=True):
                    self._put_all(pending, names)
                self._link_new_files()
        except BaseException:
            for _, aside in pending:
                trees.remove(aside)
            raise
        return tuple(info for info, _ in pending)

    def close(self) -> None:
        """Remove what was not committed."""
        pending, self._pending = self._pending, []
        for _, aside in pending:
            trees.remove(aside)

    def __enter__(self) -> Batch:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was not committed."""
        self.close()

    def _put_all(self, pending: List[Tuple[PathInfo, str]], names: Set[str]) -> None:
        already = self._database.valid(names)
        for info, aside in pending:
            if info.path in already:
                trees.remove(aside)
                continue
            put(self._layout, aside, info)
        sync_directory(self._layout.store)
        self._database.register([info for info, _ in pending if info.path not in already])

    def _keep(self, info: PathInfo) -> None:
        for path in (info.path, *info.references):
            StorePath.parse(path, self._layout.store_dir)
        # Before the path is looked up or made: the collector must not take what it refers to meanwhile.
        self._roots.add([info.path, *info.references])

    def _take(self, info: PathInfo, aside: str) -> None:
        self._pending.append((info, aside))
        with self._translated(info.path):
            self._deduplicate(info.path, aside)

    def _deduplicate(self, path: str, aside: str) -> None:
        for file, size, executable in list(trees.regular_files(aside)):
            if size == 0:
                continue
            name = trees.file_hash(file, executable=executable, size=size)
            link = self._layout.links / name
            status = _status(link)
            source = str(link)
            if status is None and name in self._fresh:
                source = self._fresh[name]
                status = os.lstat(source)
            if status is None:
                self._fresh[name] = file
                self._new_files.append((name, path, os.path.relpath(file, aside)))
            elif status.st_size == size and status.st_nlink < MAX_LINKS and status.st_ino != os.lstat(file).st_ino:
                replace_by_link(source, file, self.place())

    def _link_new_files(self) -> None:
        # Only what is synced and registered is ever named by its hash, so that a power cut can't leave a wrong file there.
        for name, path, relative in self._new_files:
            file = os.path.normpath(os.path.join(str(self._layout.root), path.lstrip("/"), relative))
            try:
                os.link(file, self._layout.links / name, follow_symlinks=False)
            except OSError:
                self._fresh[name] = file
        self._new_files = []

    def _check_references(self, pending: List[Tuple[PathInfo, str]], names: Set[str]) -> None:
        wanted = {reference for info, _ in pending for reference in info.references} - names
        invalid = wanted - self._database.valid(wanted)
        for info, _ in pending:
            for reference in info.references:
                if reference in invalid:
                    raise ReferenceInvalid(info.path, reference)

    def _file(self, name: str) -> str:
        path = self._layout.links / name
        if "/" not in name and path.is_file():
            return str(path)
        if name in self._fresh:
            return self._fresh[name]
        raise PathCorrupt(name, "a file that is held here", "nothing")

    @contextlib.contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            raise translate(error, path) from None


def put(layout: Layout, aside: str, info: PathInfo) -> None:
    """Put a path in place. What a crash left there is replaced; what is right already (another Nix's) stays.

    Raises `PathOccupied` where a real Nix deems the path valid with other content.
    """
    destination = str(layout.root / info.path.lstrip("/"))
    if os.path.lexists(destination):
        digest, size = trees.nar_hash(destination)
        if (Hash("sha256", digest).base32, size) == (info.nar_hash, info.nar_size):
            trees.remove(aside)
            return
        theirs = nix_hash(layout, info.path)
        if theirs not in ("", info.nar_hash):
            raise PathOccupied(info.path, theirs, info.nar_hash)
        _exchange(aside, destination)
        trees.remove(aside)
        return
    rename(aside, destination)


def _exchange(aside: str, destination: str) -> None:
    """Put a tree in another's place, so that at every instant one of them is there, where the file system can do that."""
    directories = [place for place in (aside, destination) if os.path.isdir(place) and not os.path.islink(place)]
    for place in directories:
        os.chmod(place, 0o755)
    try:
        exchange(aside, destination)
    except OSError:
        trees.remove(destination)
        os.rename(aside, destination)
    if os.path.isdir(destination) and not os.path.islink(destination):
        os.chmod(destination, trees.PROGRAM_MODE)
        os.utime(destination, (trees.MTIME, trees.MTIME))


def rename(aside: str, destination: str) -> None:
    """Rename a tree of ours, also a read-only directory."""
    # The parent entry of a directory can only be changed while the directory is writable.
    is_directory = os.path.isdir(aside) and not os.path.islink(aside)
    if is_directory and os.geteuid() != 0:
        os.chmod(aside, 0o755)
    os.rename(aside, destination)
    if is_directory and os.geteuid() != 0:
        os.chmod(destination, trees.PROGRAM_MODE)
        os.utime(destination, (trees.MTIME, trees.MTIME))


def replace_by_link(link: str, file: str, temporary: str) -> None:
    """Have a file be a link to another of the same content, if that can be."""
    # Too many links and a full directory are no reason to fail: the file is whole as it is.
    parent = os.path.dirname(file)
    status = os.stat(parent)
    is_inside = stat.S_IMODE(status.st_mode) == trees.PROGRAM_MODE
    with contextlib.suppress(OSError):
        os.link(link, temporary, follow_symlinks=False)
        try:
            if is_inside:
                os.chmod(parent, 0o755)
            os.rename(temporary, file)
        except OSError:
            os.unlink(temporary)
        finally:
            if is_inside:
                os.chmod(parent, trees.PROGRAM_MODE)
                os.utime(parent, (trees.MTIME, trees.MTIME))


def _status(path: Path) -> Optional[os.stat_result]:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
