"""Paths that need no signature, because what they hold makes their name: texts, sources, and fixed outputs of every kind.

What a cache says of such a path (`CA`) and of what it refers to must give its name; and what the NAR holds must give the hash
that was said. The first is known before anything is fetched, the second when the NAR has gone through a `ContentCheck`.
"""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

from deployer.formats.hashes import Hash, HashRefused
from deployer.formats.nar import MAGIC, token
from deployer.formats.narinfo import NarInfo
from deployer.formats.storepath import HASH_LENGTH, make_fixed_output_path, make_source_path, make_store_path

_HEAD: Final = token(MAGIC) + b"".join(map(token, (b"(", b"type", b"regular", b"contents")))
"""What a NAR of a file that is no program begins with; the file's length and bytes follow."""
_LENGTH: Final = 8


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


def content_makes_name(info: NarInfo) -> bool:
    """Whether the hash that is said of a path's content gives its name."""
    kind, recursive, claimed = _claimed(info)
    path, store_dir = info.path, info.path.store_dir
    if claimed is None:
        return False
    others = [reference for reference in info.references if reference != path]
    if kind == "text":
        text = ":".join(["text", *sorted(str(reference) for reference in others)])
        is_text = claimed.algorithm == "sha256" and len(others) == len(info.references)
        return is_text and make_store_path(text, claimed.digest, path.name, store_dir) == path
    if recursive and claimed.algorithm == "sha256":
        itself = len(others) < len(info.references)
        return make_source_path(path.name, claimed.digest, others, store_dir, refers_to_itself=itself) == path
    made = make_fixed_output_path(path.name, claimed.algorithm, claimed.digest, store_dir, recursive=recursive)
    return not info.references and made == path


class ContentCheck:
    """Takes a NAR piece by piece, and knows in the end whether it holds what was said."""

    def __init__(self, info: NarInfo) -> None:
        """A path of which `content_makes_name`."""
        kind, recursive, claimed = _claimed(info)
        assert claimed is not None
        self._claimed = claimed.digest
        digest: _Digest = hashlib.new(claimed.algorithm)
        if kind == "text" or not recursive:
            digest = _FileDigest(digest)
        elif info.path in info.references:
            digest = MaskedDigest(digest, info.path.hash_part)
        self._digest = digest

    def feed(self, data: bytes) -> None:
        """The next bytes of the NAR."""
        self._digest.update(data)

    def holds(self) -> bool:
        """Whether the content has the hash, after the last byte."""
        return self._digest.digest() == self._claimed


class MaskedDigest:
    """A hash of bytes in which a hash part is replaced by zeros, with the places where it stood (Nix: HashModuloSink)."""

    def __init__(self, inner: _Digest, hash_part: str) -> None:
        """Nothing yet."""
        self._inner, self._part = inner, hash_part.encode()
        self._tail = b""
        self._at = 0
        """Where the tail begins."""
        self._found: list[int] = []

    def update(self, data: bytes, /) -> None:
        """The next bytes."""
        window = self._tail + data
        start = 0
        while (start := window.find(self._part, start)) >= 0:
            self._found.append(self._at + start)
            window = window[:start] + bytes(HASH_LENGTH) + window[start + HASH_LENGTH :]
            start += HASH_LENGTH
        done = max(0, len(window) - HASH_LENGTH + 1)
        self._inner.update(window[:done])
        self._tail, self._at = window[done:], self._at + done

    def digest(self) -> bytes:
        """After the last byte."""
        self._inner.update(self._tail + b"".join(f"|{at}".encode() for at in self._found))
        self._tail, self._found = b"", []
        return self._inner.digest()


class _FileDigest:
    """The hash of the one file that a NAR holds; of no use where the NAR holds anything else."""

    def __init__(self, inner: _Digest) -> None:
        self._inner = inner
        self._head = b""
        self._left = -1

    def update(self, data: bytes, /) -> None:
        if self._left < 0:
            self._head += data
            if len(self._head) < len(_HEAD) + _LENGTH:
                return
            data = self._head[len(_HEAD) + _LENGTH :]
            self._left = int.from_bytes(self._head[len(_HEAD) :][:_LENGTH], "little")
        self._inner.update(data[: self._left])
        self._left -= min(self._left, len(data))

    def digest(self) -> bytes:
        return self._inner.digest() if self._head.startswith(_HEAD) else b""


def _claimed(info: NarInfo) -> tuple[str, bool, Hash | None]:
    """The kind (`text`, `fixed`), whether the NAR is hashed rather than the file, and the hash."""
    kind, _, rest = info.ca.partition(":")
    recursive = kind == "fixed" and rest.startswith("r:")
    try:
        return kind, recursive, Hash.parse(rest.removeprefix("r:")) if kind in {"text", "fixed"} else None
    except HashRefused:
        return kind, recursive, None
