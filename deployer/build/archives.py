"""Reading archives made by strangers: what is in them, as a stream of members, and limits that stop bombs.

The kind is told by the first bytes, never by the name: tar, plain or through gzip, bzip2, xz or zstd; zip; and the data of a
.deb. Nothing is written here; `unpack` does that.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

import zstandard

from deployer.build.limits import Limits
from deployer.build.source_errors import ArchiveRefused

CHUNK: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive. `content` must be read before the next member is asked for."""

    name: str
    kind: str
    """`file`, `directory`, `symlink`, `hardlink`."""
    executable: bool = False
    target: str = ""
    content: IO[bytes] | None = None

    def chunks(self) -> Iterator[bytes]:
        """The content, in pieces."""
        while self.content is not None and (chunk := self.content.read(CHUNK)):
            yield chunk


@contextlib.contextmanager
def refusing(archive: str) -> Iterator[None]:
    """Turn the decoders' many errors into one of ours."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zstandard.ZstdError,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveRefused(archive, "", f"it is broken ({error})") from error
    except RuntimeError as error:  # an encrypted zip
        raise ArchiveRefused(archive, "", str(error)) from error


def members(path: Path, *, limits: Limits | None = None) -> Iterator[Member]:
    """Every member of an archive, in its order. Raises `ArchiveRefused`."""
    limits = limits or Limits()
    with refusing(path.name), path.open("rb") as file:
        if file.peek(4)[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            yield from _zip_members(path, limits)
        else:
            with open_tar(file, path.name) as stream:
                yield from tar_members(stream, path.name, limits)


@contextlib.contextmanager
def open_tar(file: BinaryIO, archive: str) -> Iterator[BinaryIO]:
    """The plain tar stream in a file: the data member of a .deb, or the file itself, decompressed."""
    start = file.peek(8)[:8]  # type: ignore[attr-defined]
    with contextlib.ExitStack() as stack:
        if start == b"!<arch>\n":
            file = cast("BinaryIO", stack.enter_context(contextlib.closing(_deb_member(file, archive, "data.tar"))))
            start = file.peek(8)[:8]  # type: ignore[attr-defined]
        yield stack.enter_context(_decompressed(file, start))


def tar_members(stream: BinaryIO, archive: str, limits: Limits) -> Iterator[Member]:
    """The members of a plain tar stream."""
    left = limits.total_bytes
    try:
        tar = tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK, errorlevel=2)  # noqa: SIM115 - the stream is the caller's
    except tarfile.ReadError as error:
        raise ArchiveRefused(archive, "", f"it is of no kind that we read ({error})") from None
    for count, entry in enumerate(tar):
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep every one
        left -= entry.size
        check_limits(archive, entry.name, count, left, limits)
        executable = bool(entry.mode & 0o100)
        if entry.isdir():
            yield Member(entry.name, "directory")
        elif entry.isreg():
            yield Member(entry.name, "file", executable, content=tar.extractfile(entry))
        elif entry.issym():
            yield Member(entry.name, "symlink", target=entry.linkname)
        elif entry.islnk():
            yield Member(entry.name, "hardlink", target=entry.linkname)
        else:
            raise ArchiveRefused(archive, entry.name, "it is a device, a socket or something else that is no file")


def _zip_members(path: Path, limits: Limits) -> Iterator[Member]:
    left = limits.total_bytes
    with zipfile.ZipFile(path) as archive:
        for count, entry in enumerate(archive.infolist()):
            mode = entry.external_attr >> 16
            left -= entry.file_size
            check_limits(path.name, entry.filename, count, left, limits)
            if entry.is_dir():
                yield Member(entry.filename, "directory")
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFLNK):
                raise ArchiveRefused(path.name, entry.filename, "it is a device, a socket or something else that is no file")
            elif stat.S_ISLNK(mode):
                if entry.file_size > 4095:
                    raise ArchiveRefused(path.name, entry.filename, "it is a link with a target that is too long")
                yield Member(entry.filename, "symlink", target=archive.read(entry).decode(errors="surrogateescape"))
            else:
                with archive.open(entry) as content:
                    yield Member(entry.filename, "file", bool(mode & 0o100), content=content)


def check_limits(archive: str, name: str, count: int, left: int, limits: Limits) -> None:
    """Refuse the member number `count` where it is one too many, or fewer than no bytes are `left` for it."""
    if left < 0:
        raise ArchiveRefused(archive, name, f"it unpacks to more than {limits.total_bytes} bytes")
    if count >= limits.members:
        raise ArchiveRefused(archive, name, f"it has more than {limits.members} members")


def _decompressed(file: BinaryIO, start: bytes) -> contextlib.AbstractContextManager[BinaryIO]:
    if start.startswith(b"\x1f\x8b"):
        return cast("contextlib.AbstractContextManager[BinaryIO]", gzip.GzipFile(fileobj=file, mode="rb"))
    if start.startswith(b"\xfd7zXZ\0"):
        return cast("contextlib.AbstractContextManager[BinaryIO]", lzma.LZMAFile(file, "rb"))
    if start.startswith(b"BZh"):
        return cast("contextlib.AbstractContextManager[BinaryIO]", bz2.BZ2File(file, "rb"))
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file, read_across_frames=True)
        return cast("contextlib.AbstractContextManager[BinaryIO]", reader)
    return contextlib.nullcontext(file)


_AR_HEADER: Final = 60
_LARGEST_CONTROL: Final = 64 << 20


class _Slice:
    """A part of a file, readable as a file of its own."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def peek(self, size: int) -> bytes:
        return self._file.peek(size)[: min(size, self._left)]  # type: ignore[attr-defined,no-any-return]

    def close(self) -> None:
        """The file belongs to the caller."""

    def readable(self) -> bool:
        return True


def deb_control_file(path: Path, archive: str, name: str) -> str:
    """What a .deb tells of itself in a file like `control` or `postinst`; empty where there is none. Raises `ArchiveRefused`."""
    with refusing(archive), path.open("rb") as file:
        control = cast("BinaryIO", _deb_member(file, archive, "control.tar"))
        with _decompressed(control, control.peek(8)[:8]) as stream:  # type: ignore[attr-defined]
            for member in tar_members(stream, archive, Limits(total_bytes=_LARGEST_CONTROL)):
                if member.name.removeprefix("./") == name:
                    return b"".join(member.chunks()).decode(errors="replace")
    return ""


def _deb_member(file: BinaryIO, archive: str, wanted: str) -> _Slice:
    """The member of a .deb, which is an `ar` archive, whose name begins as `wanted`."""
    file.read(8)
    while len(header := file.read(_AR_HEADER)) == _AR_HEADER:
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        digits = header[48:58].strip()
        if header[58:] != b"`\n" or not digits.isdigit():
            break
        size = int(digits)
        if name.startswith(wanted):
            return _Slice(file, size)
        file.seek(size + size % 2, 1)
    raise ArchiveRefused(archive, "", f"it is no .deb: it has no {wanted}")
