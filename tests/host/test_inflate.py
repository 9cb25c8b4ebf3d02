"""Compressed streams as a reader of exact sizes."""

from __future__ import annotations

import random
import sys
import zlib
from collections.abc import Callable

import pytest
import zstandard

from deployer.formats.frames import FrameRefused
from deployer.host import libzstd
from deployer.host.facts import compressions
from deployer.host.inflate import CompressionUnknown, Reader

CONTENT = bytes(range(256)) * 5000
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    "zlib": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.fixture(params=COMPRESS)
def compression(request):
    """Each of those that this machine can undo."""
    if request.param not in compressions():
        pytest.skip("this machine has no libzstd")
    return request.param


@pytest.mark.parametrize("piece", [1, 1000, 100_000])
def test_what_went_in_comes_out_in_any_pieces(compression: str, piece: int) -> None:
    data = COMPRESS[compression](CONTENT)
    reader = Reader((data[at : at + piece] for at in range(0, len(data), piece)), compression)

    assert reader.read(7) + reader.read(len(CONTENT) - 7) == CONTENT
    with pytest.raises(FrameRefused):
        reader.read(1)


def test_a_bomb_fills_no_memory(compression: str) -> None:
    if compression == "none":
        return
    reader = Reader(iter([COMPRESS[compression](b"\0" * (64 << 20))]), compression)

    reader.read(10)

    assert len(reader._buffer) <= 1 << 20


def test_a_damaged_stream_and_an_unknown_compression_are_refused() -> None:
    for compression in ("zlib", "zstd"):
        with pytest.raises(FrameRefused):
            Reader(iter([b"neither of them"]), compression).read(1)
    with pytest.raises(CompressionUnknown):
        Reader(iter([]), "lzma")


def test_a_large_stream_of_zstd_that_is_cut_off_or_goes_on_is_refused():
    content = random.Random(1).randbytes(3 << 20) + b"\0" * (3 << 20)
    data = COMPRESS["zstd"](content)

    assert Reader(iter([data]), "zstd").read(len(content)) == content
    with pytest.raises(FrameRefused):
        Reader(iter([data[:-10]]), "zstd").read(len(content))
    with pytest.raises(FrameRefused):
        Reader(iter([data, data]), "zstd").read(len(content) + 1)
    with pytest.raises(FrameRefused):
        Reader(iter([data + data]), "zstd").read(len(content) + 1)


def test_a_host_without_the_library_is_sent_what_its_python_has(monkeypatch):
    monkeypatch.setattr(libzstd, "_library", lambda: None)
    monkeypatch.setitem(sys.modules, "compression", None)

    assert compressions() == ("zlib", "none")
    with pytest.raises(CompressionUnknown):
        Reader(iter([]), "zstd")
