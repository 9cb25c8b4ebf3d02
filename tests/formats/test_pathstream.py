"""Headers of the path stream, and that older and newer readers understand each other."""

from __future__ import annotations

import io
import json

import pytest

from deployer.formats import NarRefused
from deployer.formats.frames import FrameRefused
from deployer.formats.nar import token
from deployer.formats.pathstream import PathHeader, encode_end, read_header

PLAIN = PathHeader("/nix/store/a", "sha256:0", 7, ("/nix/store/b",), "/nix/store/a.drv")
FULL = PathHeader(PLAIN.path, PLAIN.nar_hash, 7, PLAIN.references, PLAIN.deriver, "fixed:r:sha256:0", ("key:1", "key:2"))
FIRST_FORM = {"path", "nar_hash", "nar_size", "references", "deriver"}


def written(document):
    return token(b"path") + token(json.dumps(document).encode())


def document_of(header):
    encoded = header.encode()
    return json.loads(encoded[encoded.index(b"{") : encoded.rindex(b"}") + 1])


@pytest.mark.parametrize("header", [PLAIN, FULL])
def test_a_header_is_read_as_it_was_written(header):
    assert read_header(io.BytesIO(header.encode()).read) == header


def test_a_reader_passes_over_keys_that_came_after_it():
    assert read_header(io.BytesIO(written({**document_of(PLAIN), "later": {"x": [1]}})).read) == PLAIN


def test_only_what_is_there_adds_keys_to_the_first_form():
    assert set(document_of(PLAIN)) == FIRST_FORM
    assert set(document_of(FULL)) == FIRST_FORM | {"ca", "signatures"}


def test_the_end_is_no_header():
    assert read_header(io.BytesIO(encode_end()).read) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"path": 1},
        {"nar_size": 0},
        {"nar_size": True},
        {"nar_size": "7"},
        {"references": "b"},
        {"references": [1]},
        {"deriver": None},
        {"ca": None},
        {"signatures": "key:1"},
        {"signatures": [None]},
        {"signatures": ["key:1\nCA: x"]},
        {"path": "/nix/store/\x1b[2J"},
    ],
)
def test_a_header_of_another_form_is_refused(changed):
    with pytest.raises(NarRefused):
        read_header(io.BytesIO(written({**document_of(PLAIN), **changed})).read)


def test_a_header_with_half_a_character_is_refused():
    with pytest.raises(FrameRefused, match="malformed"):
        read_header(io.BytesIO(written({**document_of(PLAIN), "deriver": "\ud800"})).read)
