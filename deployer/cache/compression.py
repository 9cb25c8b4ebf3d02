"""Compressed streams, read and written piece by piece: no more comes out than was asked for, so a bomb fills nothing."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from typing import Final, Protocol

import zstandard

READABLE: Final = ("none", "xz", "zstd", "bzip2")
SUFFIXES: Final = {"none": "", "xz": ".xz", "zstd": ".zst"}
"""What we write, and how its files end."""
_MEMORY: Final = 256 << 20
"""Bytes that a decoder may take: xz -9 takes 65 MiB, zstd with long windows 128."""
_PIECE: Final = 1 << 17

Read = Callable[[int], bytes]


_Decoder = bz2.BZ2Decompressor | lzma.LZMADecompressor


class _Steps:
    """A stream of one or more compressed parts, one after another."""

    def __init__(self, source: Read, make: Callable[[], _Decoder]) -> None:
        self._source, self._make, self._decoder = source, make, make()

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end. Raises `EOFError` where a part is cut off."""
        while True:
            data = b""
            if self._decoder.eof:
                data = self._decoder.unused_data or self._source(_PIECE)
                if not data:
                    return b""
                self._decoder = self._make()
            elif self._decoder.needs_input:
                data = self._source(_PIECE)
                if not data:
                    raise EOFError
            piece = self._decoder.decompress(data, size)
            if piece:
                return piece


class _File:
    """Just enough of a file for a decoder that asks for one."""

    def __init__(self, source: Read) -> None:
        self.read = source


def decompressed(compression: str, source: Read) -> Read:
    """From a reader of compressed bytes to one of plain bytes. What it raises: `DECODING`. Raises `ValueError`."""
    if compression == "none":
        return source
    if compression == "xz":
        return _Steps(source, lambda: lzma.LZMADecompressor(memlimit=_MEMORY)).read
    if compression == "bzip2":
        return _Steps(source, bz2.BZ2Decompressor).read
    if compression == "zstd":
        decoder = zstandard.ZstdDecompressor(max_window_size=_MEMORY // 2)
        return decoder.stream_reader(_File(source), read_across_frames=True).read  # type: ignore[arg-type]
    raise ValueError(f"its compression {compression[:40]!r} is none of {', '.join(READABLE)}")


DECODING: Final = (EOFError, OSError, lzma.LZMAError, zstandard.ZstdError)


class Sink(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> object:
        """The next bytes."""
        ...


class Compressor:
    """Writes a stream to a file. Use `write`, then `finish`."""

    def __init__(self, compression: str, file: Sink, *, level: int | None = None) -> None:
        """One of `SUFFIXES`. Without a level: one that is worth it for what is packed once and fetched often."""
        self._file = file
        if compression == "xz":
            self._encoder: lzma.LZMACompressor | zstandard.ZstdCompressionObj | None = lzma.LZMACompressor(preset=level or 6)
        elif compression == "zstd":
            self._encoder = zstandard.ZstdCompressor(level=level or 9).compressobj()
        else:
            self._encoder = None

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self._file.write(self._encoder.compress(data) if self._encoder else data)

    def finish(self) -> None:
        """The last bytes."""
        if self._encoder:
            self._file.write(self._encoder.flush())
