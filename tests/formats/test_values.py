"""Base 32, references and store paths, for all values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.formats import StorePath, StorePathRefused, base32
from deployer.formats.references import ReferenceScanner
from deployer.formats.storepath import check_name

PARTS = st.text(base32.ALPHABET, min_size=32, max_size=32)


@given(st.binary(max_size=70))
def test_base_32_reads_what_it_writes(data):
    assert base32.decode(base32.encode(data)) == data


@given(st.text(base32.ALPHABET, max_size=60))
def test_base_32_reads_only_what_it_would_write(text):
    try:
        data = base32.decode(text)
    except ValueError:
        return
    assert base32.encode(data) == text


@given(st.lists(PARTS, min_size=1, max_size=5, unique=True), st.data())
def test_a_reference_is_found_wherever_the_stream_is_cut(parts, data):
    pieces = [data.draw(st.binary(max_size=40)) + part.encode() + b"-" for part in parts]
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    scanner = ReferenceScanner(parts)

    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        scanner.feed(stream[start:end])

    assert scanner.found == set(parts)


@given(st.lists(PARTS, min_size=1, max_size=4, unique=True), st.data())
def test_only_what_stands_whole_is_found(parts, data):
    """Pieces of hash parts, and whole ones, between others of the same letters."""
    part = st.sampled_from(parts)
    piece = st.one_of(
        part, part.map(lambda text: text[:31]), part.map(lambda text: text[1:]), st.text(base32.ALPHABET, max_size=9)
    )
    stream = "".join(data.draw(st.lists(piece, max_size=20)))
    scanner = ReferenceScanner(parts)

    scanner.feed(stream.encode())

    assert scanner.found == {one for one in parts if one in stream}


def test_a_reference_is_found_at_every_place_of_a_long_stream():
    part = "0123456789abcdfghijklmnpqrsvwxyz"
    for at in range((1 << 18) - 70, (1 << 18) + 40):
        scanner = ReferenceScanner([part, "z" * 32])
        for piece in (bytes(at), part.encode(), bytes(100)):
            scanner.feed(piece)
        assert scanner.found == {part}


@pytest.mark.parametrize("name", ["", ".", "..", ".-a", "..-a", "a/b", "a b", "ä", "a\n", "a" * 212])
def test_a_name_that_nix_refuses_is_refused(name):
    with pytest.raises(StorePathRefused):
        check_name(name)


@pytest.mark.parametrize("name", [".a", "...", "a" * 211, "a+b-c._?=1"])
def test_a_name_that_nix_takes_is_taken(name):
    assert check_name(name) == name


@pytest.mark.parametrize("text", ["/nix/store", "/nix/store/", "/nix/store/../../etc", "/etc/" + "0" * 32 + "-a"])
def test_a_path_outside_the_store_is_refused(text):
    with pytest.raises(StorePathRefused):
        StorePath.parse(text)
