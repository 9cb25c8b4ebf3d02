"""A compressed byte stream, piece by piece, as a reader of exactly so many bytes."""

from __future__ import annotations

import zlib
from typing import Any, Final, Iterator

from deployer.errors import DeploymentError
from deployer.formats.frames import FrameRefused
from deployer.host import libzstd

_MOST: Final = 1 << 20
"""Bytes that one step may inflate to: a bomb fills no memory."""


class CompressionUnknown(DeploymentError):
    """The controller compressed a stream in a way that this host's Python cannot undo."""

    name: str
    """As the controller sent it."""

    @property
    def message(self) -> str:
        """Which."""
        return f"this host cannot decompress '{self.name[:40]}'"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Choose one of the compressions that `hello` names."


class Reader:
    """Inflates pieces as they are asked for."""

    def __init__(self, pieces: Iterator[bytes], compression: str) -> None:
        """Raises `CompressionUnknown`."""
        self._pieces, self._buffer, self._left = pieces, bytearray(), b""
        self._inflater = _inflater(compression)

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises `FrameRefused` where the stream ends before."""
        while len(self._buffer) < size:
            if not self._fill():
                raise FrameRefused("a stream ended too early")
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _fill(self) -> bool:
        if self._inflater is None:
            piece = next(self._pieces, None)
            self._buffer += piece or b""
            return piece is not None
        hungry = getattr(self._inflater, "needs_input", True)
        if hungry and not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._left = piece
        try:
            self._buffer += self._inflater.decompress(self._left if hungry else b"", _MOST)
        except Exception as error:
            raise FrameRefused(f"a compressed stream is damaged: {error}") from None
        if hungry:
            self._left = getattr(self._inflater, "unconsumed_tail", b"")
        return True


def _inflater(compression: str) -> Any:
    if compression == "none":
        return None
    if compression == "zlib":
        return zlib.decompressobj()
    if compression == "zstd":
        try:
            from compression import zstd  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            if not libzstd.is_here():
                raise CompressionUnknown(compression) from None
            return libzstd.Decompressor()
        return zstd.ZstdDecompressor()
    raise CompressionUnknown(compression)
