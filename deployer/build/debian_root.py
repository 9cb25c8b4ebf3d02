"""`builtin:debian-root`: a set of .debs into one root tree.

The tree has merged-usr links at its top and every mount point that a service under `RootDirectory=` needs. Maintainer scripts do
not run; what they would have made is made by us (`debian_scripts`, `loader_cache`). The packages are decompressed side by side,
and written one after the other in the order given, so that the tree is the same each time. As with dpkg, a directory never
replaces a link to a directory, nor a link a directory; other than dpkg, two packages with different files of one name are an
error.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.build.archives import CHUNK, Member, deb_control_file, open_tar, refusing, tar_members
from deployer.build.debian_scripts import complete
from deployer.build.limits import Limits
from deployer.build.loader_cache import loader_cache
from deployer.build.omissions import is_omitted
from deployer.build.root_tree import RootTree
from deployer.build.source_errors import ArchiveRefused, FilesCollide
from deployer.build.tree_writer import NameRefusedError, TreeWriter, clean_name

_MERGED: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ALWAYS_MERGED: Final = ("bin", "sbin", "lib", "lib64")
MOUNT_POINTS: Final = ("dev", "proc", "sys", "run", "tmp", "var", "etc", "home", "root", "mnt", "opt", "srv", "nix/store")
"""A read-only tree cannot grow them later."""
_LOCALES: Final = ("usr", "lib", "locale")
_LOADER_CACHE: Final = ("etc", "ld.so.cache")


@dataclass(frozen=True, slots=True)
class Deb:
    """One package: its name for people, and where its file is."""

    name: str
    file: Path


def debian_root(
    debs: Sequence[Deb],
    destination: Path,
    *,
    links: Mapping[str, str],
    completed: bool = False,
    locales: Mapping[str, Path] | None = None,
    omitted: Collection[str] = (),
    scratch: Path,
    threads: int,
) -> None:
    """Unpack `debs` into the new directory `destination`, and make `links` (name → target) that maintainer scripts would make.

    With `completed`, what else they would have made is there as well. `locales` are compiled ones, by the names of their
    directories. `omitted` names what of the packages is left out (`omissions`).
    """
    with (
        tempfile.TemporaryDirectory(dir=scratch) as spool,
        ThreadPoolExecutor(threads) as pool,
        TreeWriter(destination, inside_links=True) as writer,
    ):
        root = _Root(writer, omitted)
        plain = [pool.submit(_decompress, deb, Path(spool, str(number))) for number, deb in enumerate(debs)]
        try:
            for deb, future in zip(debs, plain, strict=True):
                root.add(deb, future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        root.finish(links)
        for name, compiled in sorted((locales or {}).items()):
            _add_locale(writer, name, compiled)
        if completed:
            complete(writer, (deb_control_file(deb.file, deb.name, "postinst") for deb in debs))
            if writer.status(_LOADER_CACHE) is None and (cache := loader_cache(RootTree(destination))) is not None:
                writer.file(_LOADER_CACHE, [cache], executable=False)


def _add_locale(writer: TreeWriter, name: str, compiled: Path) -> None:
    """Put a locale where the C library looks for it, unless a package has brought it."""
    place = (*_LOCALES, *clean_name(name))
    if writer.status(place) is not None:
        return
    for file in sorted(path for path in compiled.rglob("*") if path.is_file() and not path.is_symlink()):
        writer.file((*place, *file.relative_to(compiled).parts), [file.read_bytes()], executable=False)


def _decompress(deb: Deb, spool: Path) -> Path:
    with refusing(deb.name), deb.file.open("rb") as file, open_tar(file, deb.name) as stream, spool.open("wb") as plain:
        left = Limits().total_bytes
        while chunk := stream.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise ArchiveRefused(deb.name, "", f"it unpacks to more than {Limits().total_bytes} bytes")
            plain.write(chunk)
    return spool


class _Root:
    """The tree while it grows, and which package each file came from."""

    def __init__(self, writer: TreeWriter, omitted: Collection[str]) -> None:
        self._writer, self._omitted = writer, omitted
        self._owner: dict[tuple[str, ...], str] = {}
        for name in _ALWAYS_MERGED:
            self._merge(name)
        for name in MOUNT_POINTS:
            writer.directory(clean_name(name))

    def add(self, deb: Deb, plain: Path) -> None:
        """Write the files of one package, whose plain tar is at `plain`."""
        with refusing(deb.name), plain.open("rb") as stream:
            for member in tar_members(stream, deb.name, Limits()):
                try:
                    self._write(deb, member)
                except NameRefusedError as refused:
                    raise ArchiveRefused(deb.name, member.name, str(refused)) from None
        plain.unlink()

    def finish(self, links: Mapping[str, str]) -> None:
        """Make what maintainer scripts would have made, and has no owner."""
        writer = self._writer
        for name, target in sorted(links.items()):
            try:
                writer.symlink(self._place(name), target)
            except FileExistsError:
                raise FilesCollide(
                    f"/{name}", self._owner.get(self._place(name), "another package"), "the package's links"
                ) from None
            except NameRefusedError as refused:
                raise ArchiveRefused("links", name, str(refused)) from None
        shell = ("usr", "bin", "sh")
        if writer.status(shell) is None and writer.status(("usr", "bin", "dash")) is not None:
            writer.symlink(shell, "dash")

    def _write(self, deb: Deb, member: Member) -> None:
        writer, parts = self._writer, self._place(member.name)
        if not parts or is_omitted(parts, self._omitted):
            return
        if member.kind == "directory":
            writer.directory(parts)
            return
        there = writer.status(parts)
        if there is not None:
            if member.kind == "symlink" and stat.S_ISDIR(there.st_mode):
                return
            if not self._equal(parts, there, member):
                raise FilesCollide("/" + "/".join(parts), self._owner.get(parts, "another package"), deb.name)
            return
        self._owner[parts] = deb.name
        match member.kind:
            case "symlink":
                writer.symlink(parts, member.target)
            case "hardlink":
                writer.hard_link(parts, self._place(member.target))
            case _:
                writer.file(parts, member.chunks(), executable=member.executable)

    def _equal(self, parts: tuple[str, ...], there: os.stat_result, member: Member) -> bool:
        if member.kind == "symlink":
            return stat.S_ISLNK(there.st_mode) and self._writer.read_link(parts) == member.target
        if member.kind == "hardlink" or not stat.S_ISREG(there.st_mode):
            return False
        content = b"".join(member.chunks())
        return bool(there.st_mode & 0o100) == member.executable and self._writer.read_file(parts) == content

    def _place(self, name: str) -> tuple[str, ...]:
        """Where a name of a package goes: below /usr, for the directories that are merged."""
        parts = clean_name(name.lstrip("/") if name.startswith("./") else name)
        if parts and parts[0] in _MERGED:
            if parts[0] not in _ALWAYS_MERGED:
                self._merge(parts[0])
            return ("usr", *parts) if len(parts) > 1 else ("usr", parts[0])
        return parts

    def _merge(self, name: str) -> None:
        if self._writer.status((name,)) is None:
            self._writer.directory(("usr", name))
            self._writer.symlink((name,), f"usr/{name}")
