"""A pack: one file that unpacks a closure once, in a directory of its user's, and starts a program of it.

The file is a script for `/bin/sh` with a compressed tar archive behind it. It needs of a machine what every Linux has (tar,
gzip or what else was chosen, and coreutils), and keeps what it unpacked under the archive's hash: so the next start, and that
of any pack with the same content, unpacks nothing. Packs of the same closure are the same to the byte.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import lzma
import os
import shlex
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, cast

import zstandard

from deployer.environments.errors import PackFailed
from deployer.formats import StorePath
from deployer.sandbox.launcher import NOTHING_STARTED, START, Spec
from deployer.store import Store

PROGRAMS: Final = {"gzip": "gzip", "xz": "xz", "zstd": "zstd"}
"""Kinds of compression, and the program that a machine needs for each."""
_PIECE: Final = 1 << 20
_STORE: Final = "store"
_HEAD: Final = """\
#!/bin/sh
# A program with all that it needs. It is unpacked once, to a directory named by its hash, below $DEPLOYER_PACKS,
# else below $XDG_CACHE_HOME/deployer/packs, else below $HOME/.cache/deployer/packs.
set -eu
hash={digest}
refuse() {{ echo "deployer: $1" >&2; exit {refused}; }}
{demand}packs=${{DEPLOYER_PACKS:-${{XDG_CACHE_HOME:-${{HOME:?is not set: set it, or DEPLOYER_PACKS}}/.cache}}/deployer/packs}}
here=$packs/$hash
if [ ! -d "$here" ]; then
    command -v {unpacker} >/dev/null || refuse "this machine has no {unpacker}: install it, or pack with another --compression"
    mkdir -p -m 0700 "$packs"
    work=$(mktemp -d "$packs/.$hash.XXXXXX")
    trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
    trap 'exit 130' HUP INT TERM
    found=$(tail -c +{offset} "$0" | sha256sum)
    [ "${{found%% *}}" = "$hash" ] || refuse "$0 is damaged: fetch it again"
    tail -c +{offset} "$0" | {unpacker} -dc | tar -xf - -C "$work" || refuse "$0 can't be unpacked to $packs"
    mv -T "$work" "$here" 2>/dev/null || [ -d "$here" ] || refuse "$here can't be made"
    [ ! -d "$work" ] || rm -rf "$work"
    trap - EXIT HUP INT TERM
fi
exec "$here/{python}/bin/python3" -I -S "$here/{launcher}/{start}" {spec} --store "$here/{store}" -- {program}"$@"
"""
_DEMAND: Final = '[ $# -gt 0 ] || refuse "say which program to start: $0 PROGRAM [ARGUMENT...]"\n'
_WIDTH: Final = 10
"""Digits of an offset: the head must not grow with it."""


@dataclass(frozen=True, slots=True)
class Pack:
    """What is to be in the file, and what it does."""

    spec: Spec
    python: StorePath
    launcher: StorePath
    program: str
    """What it starts; empty: what its first argument says."""
    compression: str = "gzip"
    contents: tuple[StorePath, ...] = field(default=())
    """A closure."""

    def head(self, digest: str, offset: int) -> bytes:
        """The script, for an archive of this hash that begins at the byte `offset`, counted from 1."""
        text = _HEAD.format(
            digest=digest,
            refused=NOTHING_STARTED,
            demand="" if self.program else _DEMAND,
            unpacker=PROGRAMS[self.compression],
            offset=f"{offset:0{_WIDTH}}",
            python=_place(self.python),
            launcher=_place(self.launcher),
            start=START,
            spec=shlex.quote(str(self.spec)),
            store=_STORE,
            program=f"{shlex.quote(self.program)} " if self.program else "",
        )
        return text.encode()


def write_pack(store: Store, pack: Pack, file: Path) -> int:
    """Write it, whole or not at all. Returns its size in bytes. Raises `PackFailed`."""
    try:
        with tempfile.TemporaryFile(dir=file.parent) as archive:
            digest = _write_archive(store, pack, cast("BinaryIO", archive))
            archive.seek(0)
            with _replacing(file) as whole:
                whole.write(pack.head(digest, len(pack.head(digest, 0)) + 1))
                while piece := archive.read(_PIECE):
                    whole.write(piece)
                return whole.tell()
    except OSError as error:
        raise PackFailed(str(file), error.strerror or str(error)) from None


@contextlib.contextmanager
def _replacing(file: Path) -> Iterator[BinaryIO]:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with temporary.open("xb") as whole:
            yield cast("BinaryIO", whole)
        temporary.chmod(0o755)
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_archive(store: Store, pack: Pack, archive: BinaryIO) -> str:
    """Returns the hash of what was written."""
    hashing = _Hashing(archive)
    with (
        _compressed(hashing, pack.compression) as plain,
        tarfile.open(fileobj=plain, mode="w|", format=tarfile.GNU_FORMAT) as tar,
    ):
        seen: dict[tuple[int, int], str] = {}
        for path in sorted(pack.contents, key=str):
            for member, source in _members(store.physical(path), _place(path), seen):
                if source is None:
                    tar.addfile(member)
                else:
                    with source.open("rb") as content:
                        tar.addfile(member, content)
    return hashing.digest.hexdigest()


def _members(source: Path, name: str, seen: dict[tuple[int, int], str]) -> Iterator[tuple[tarfile.TarInfo, Path | None]]:
    """A file or tree of the store, as members of the archive; a file that was there before is a link to it."""
    member, status = tarfile.TarInfo(name), source.lstat()
    member.mtime, member.mode = 1, 0o755
    if stat.S_ISLNK(status.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(source)
        yield member, None
    elif stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
        yield member, None
        for inner in sorted(source.iterdir()):
            yield from _members(inner, f"{name}/{inner.name}", seen)
    elif (first := seen.setdefault((status.st_dev, status.st_ino), name)) != name:
        member.type, member.linkname = tarfile.LNKTYPE, first
        yield member, None
    else:
        member.mode, member.size = stat.S_IMODE(status.st_mode) | 0o444, status.st_size
        yield member, source


def _place(path: StorePath) -> str:
    return f"{_STORE}/{path.base_name}"


@contextlib.contextmanager
def _compressed(stream: _Hashing, kind: str) -> Iterator[BinaryIO]:
    raw = cast("BinaryIO", stream)
    match kind:
        case "gzip":
            with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
                yield cast("BinaryIO", packed)
        case "xz":
            with lzma.LZMAFile(raw, "wb", preset=6) as packed:
                yield cast("BinaryIO", packed)
        case _:
            with zstandard.ZstdCompressor(level=12).stream_writer(raw, closefd=False) as packed:
                yield cast("BinaryIO", packed)


class _Hashing:
    """Passes on what is written, and knows its hash."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.digest = stream, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()


def kinds() -> Iterable[str]:
    """Kinds of compression, the one that needs least of a machine first."""
    return tuple(PROGRAMS)
