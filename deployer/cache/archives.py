"""The NAR in a cache's archive, read no further than announced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from deployer.cache.compression import DECODING, decompressed
from deployer.cache.errors import CacheCorrupt, CacheUnusable
from deployer.cache.transports import Stream
from deployer.formats.narinfo import NarInfo

_PIECE: Final = 1 << 18
_UNBOUNDED: Final = 1 << 62
"""Where the compressed size is not announced; the NAR's own size bounds what is unpacked."""


class Stopped(Exception):
    """Nobody waits for the archive any more."""


def nar_reader(
    url: str, info: NarInfo, file: Stream, *, feed: Callable[[bytes], object] | None, stopped: Callable[[], bool]
) -> Callable[[int], bytes]:
    """A reader of exactly so many bytes of the NAR, all of which go to `feed` as well. Raises `CacheCorrupt`, `Stopped`.

    FileHash is not looked at: the NAR's own hash is what is signed.
    """
    left = info.file_size or _UNBOUNDED

    def compressed(size: int = -1) -> bytes:
        nonlocal left
        if stopped():
            raise Stopped
        try:
            piece = file.read(min(_PIECE, size) if size >= 0 else _PIECE)
        except OSError as error:
            raise CacheUnusable(url, str(error)) from None
        left -= len(piece)
        if left < 0:
            raise CacheCorrupt(url, str(info.path), f"{info.url} is longer than announced")
        return piece

    def exactly(size: int) -> bytes:
        pieces = []
        while size:
            piece = read(min(size, _PIECE))
            if not piece:
                raise EOFError
            if feed is not None:
                feed(piece)
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def checked(size: int) -> bytes:
        try:
            return exactly(size)
        except DECODING as error:
            raise CacheCorrupt(url, str(info.path), str(error) or "it ends too early") from None

    try:
        read = decompressed(info.compression, compressed)
    except ValueError as error:
        raise CacheUnusable(url, str(error)) from None
    return checked
