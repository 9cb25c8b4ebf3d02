"""Compressed streams as a reader of exact sizes."""

from __future__ import annotations

import zlib

import pytest

from deployer.formats.frames import FrameRefused
from deployer.host.inflate import CompressionUnknown, Reader

CONTENT = bytes(range(256)) * 5000


@pytest.mark.parametrize("piece", [1000, 100_000])
@pytest.mark.parametrize("compression", ["none", "zlib"])
def test_what_went_in_comes_out_in_any_pieces(compression: str, piece: int) -> None:
    data = zlib.compress(CONTENT) if compression == "zlib" else CONTENT
    reader = Reader((data[at : at + piece] for at in range(0, len(data), piece)), compression)

    assert reader.read(7) + reader.read(len(CONTENT) - 7) == CONTENT
    with pytest.raises(FrameRefused):
        reader.read(1)


def test_a_bomb_fills_no_memory() -> None:
    reader = Reader(iter([zlib.compress(b"\0" * (64 << 20), 9)]), "zlib")

    reader.read(10)

    assert len(reader._buffer) <= 1 << 20


def test_a_damaged_stream_and_an_unknown_compression_are_refused() -> None:
    with pytest.raises(FrameRefused):
        Reader(iter([b"not zlib"]), "zlib").read(1)
    with pytest.raises(CompressionUnknown):
        Reader(iter([]), "lzma")
