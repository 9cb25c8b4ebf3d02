"""Stores below a directory of the test, and NARs to fill them with."""

from __future__ import annotations

import hashlib
import io

import pytest

from deployer.formats.hashes import Hash
from deployer.formats.nar import token
from deployer.formats.pathstream import PathHeader
from deployer.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "root")


class Nar:
    """The archive of one file, and what announces it."""

    def __init__(self, content, *, executable=False, held=""):
        head = [b"nix-archive-1", b"(", b"type", b"regular", *([b"executable", b""] if executable else [])]
        body = [b"deployer-held", held.encode()] if held else [b"contents", content]
        self.bytes = b"".join(map(token, [*head, *body, b")"]))
        self.true = b"".join(map(token, [*head, b"contents", content, b")"]))

    def header(self, path, references=()):
        digest = hashlib.sha256(self.true).digest()
        return PathHeader(path, Hash("sha256", digest).base32, len(self.true), tuple(references))

    def read(self, size):
        if not hasattr(self, "_stream"):
            self._stream = io.BytesIO(self.bytes)
        piece = self._stream.read(size)
        if len(piece) != size:
            raise EOFError
        return piece


@pytest.fixture
def nar():
    return Nar
