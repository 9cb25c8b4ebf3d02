"""Hash parts replaced as bytes stream by, and the hash of a tree that refers to itself (Nix: references.cc, `HashModuloSink`).

A path that is named by its content, and that mentions its own name, is hashed as if zeros stood there; then the places follow.
"""

from __future__ import annotations

import hashlib
from typing import Callable, List

from deployer.formats.hashes import Hash

Write = Callable[[bytes], object]


class Rewriter:
    """Replaces each occurrence of one text by another of the same length; where it stood is kept."""

    def __init__(self, old: bytes, new: bytes, write: Write) -> None:
        """All goes to `write`, a few bytes late."""
        if len(old) != len(new) or not old:
            raise ValueError("a text can be replaced only by one that is as long, and not empty")
        self._old, self._new, self._write = old, new, write
        self._tail = b""
        self._written = 0
        self.found: List[int] = []
        """Offsets in the stream."""

    def feed(self, data: bytes) -> None:
        """Take a piece; an occurrence across two pieces is found too."""
        window = self._tail + data
        at = window.find(self._old)
        if at >= 0:
            changed = bytearray(window)
            while at >= 0:
                self.found.append(self._written + at)
                changed[at : at + len(self._old)] = self._new
                at = changed.find(self._old, at)
            window = bytes(changed)
        keep = len(self._old) - 1
        done = max(0, len(window) - keep)
        self._tail = window[done:]
        self._pass(window[:done])

    def finish(self) -> None:
        """Pass on what is left."""
        self._pass(self._tail)
        self._tail = b""

    @property
    def size(self) -> int:
        """Bytes that were passed on."""
        return self._written

    def _pass(self, data: bytes) -> None:
        if data:
            self._written += len(data)
            self._write(data)


class ModuloHasher:
    """Hashes a stream as if zeros stood wherever one hash part does."""

    def __init__(self, algorithm: str, hash_part: str) -> None:
        """`hash_part` is the stream's own."""
        self._algorithm = algorithm
        self._digest = hashlib.new(algorithm)
        self._rewriter = Rewriter(hash_part.encode(), bytes(len(hash_part)), self._digest.update)
        self.feed = self._rewriter.feed

    def finish(self) -> Hash:
        """The hash, after the last piece. The offsets go in, so that zeros in the tree itself are another tree."""
        self._rewriter.finish()
        for offset in self._rewriter.found:
            self._digest.update(f"|{offset}".encode())
        return Hash(self._algorithm, self._digest.digest())

    @property
    def size(self) -> int:
        """Bytes of the stream."""
        return self._rewriter.size

    @property
    def refers_to_itself(self) -> bool:
        """Whether the hash part occurred."""
        return bool(self._rewriter.found)
