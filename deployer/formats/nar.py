"""NAR archives: one way to write each tree, and a reader that refuses all others (Nix: archive.cc)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Final, Iterator, Protocol, Tuple

from deployer.errors import DeploymentError

MAGIC: Final = b"nix-archive-1"
HELD: Final = b"deployer-held"
"""In a path stream only: stands for `contents`, and is followed by the name of a file that the receiver holds."""
MAX_DEPTH: Final = 64
MAX_NAME: Final = 255
MAX_TARGET: Final = 4095
MAX_FILE: Final = 1 << 40
PIECE: Final = 1 << 18


@dataclass(eq=False)
class NarRefused(DeploymentError):
    """A stream is not the one NAR of any tree."""

    reason: str

    @property
    def message(self) -> str:
        """Why not."""
        return f"the archive is malformed: {self.reason}"


def token(data: bytes) -> bytes:
    """A string of the format: length, bytes, zeros up to a multiple of 8."""
    return len(data).to_bytes(8, "little") + data + b"\0" * (-len(data) % 8)


def padding(size: int) -> bytes:
    """The zeros that follow `size` bytes."""
    return b"\0" * (-size % 8)


def read_number(read: Callable[[int], bytes]) -> int:
    """Eight bytes, the lowest first. `read(n)` returns exactly n bytes or raises."""
    return int.from_bytes(read(8), "little")


def read_string(read: Callable[[int], bytes], longest: int) -> bytes:
    """A string of the format, without its padding. Raises `NarRefused`."""
    size = read_number(read)
    if size > longest:
        raise NarRefused(f"a string of {size} bytes where at most {longest} are allowed")
    padded = read(size + -size % 8)
    if any(padded[size:]):
        raise NarRefused("its padding is not zero")
    return padded[:size]


class NarSink(Protocol):
    """Takes a tree as it is read. Paths are relative to its root, which is empty; parents come before children."""

    def directory(self, path: bytes) -> None:
        """A directory begins."""

    def symlink(self, path: bytes, target: bytes) -> None:
        """A symbolic link."""

    def file(self, path: bytes, executable: bool, size: int, pieces: Iterator[bytes]) -> None:
        """A regular file, whose pieces must be taken to their end."""

    def held(self, path: bytes, executable: bool, name: str) -> Tuple[int, Iterator[bytes]]:
        """A file whose bytes are here already, under this name: put it in place, and return its size and bytes for the hash."""


class NarReader:
    """Reads one tree from `read(n)`, which returns exactly n bytes or raises; `seen` gets the bytes of the true NAR."""

    def __init__(
        self, read: Callable[[int], bytes], sink: NarSink, seen: Callable[[bytes], object], *, held: bool = False
    ) -> None:
        """`held` allows references to files that the receiver holds."""
        self._read, self._sink, self._seen, self._held = read, sink, seen, held

    def tree(self) -> None:
        """Read it whole. Raises `NarRefused`."""
        self._expect(MAGIC)
        self._object(b"", 0)

    def _object(self, path: bytes, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise NarRefused(f"it is nested deeper than {MAX_DEPTH}")
        self._expect(b"(")
        self._expect(b"type")
        kind = self._string(16)
        if kind == b"regular":
            self._regular(path)
        elif kind == b"symlink":
            self._expect(b"target")
            target = self._string(MAX_TARGET)
            if not target or b"\0" in target:
                raise NarRefused("a link's target is empty or has a NUL")
            self._sink.symlink(path, target)
            self._expect(b")")
        elif kind == b"directory":
            self._sink.directory(path)
            self._entries(path, depth)
        else:
            raise NarRefused(f"there is no type {kind!r}")

    def _entries(self, path: bytes, depth: int) -> None:
        previous = b""
        while True:
            word = self._string(16)
            if word == b")":
                return
            if word != b"entry":
                raise NarRefused(f"{word!r} stands where an entry should")
            self._expect(b"(")
            self._expect(b"name")
            name = self._string(MAX_NAME)
            if name in {b"", b".", b".."} or b"/" in name or b"\0" in name:
                raise NarRefused(f"{name!r} is not the name of a file")
            if name <= previous:
                raise NarRefused(f"{name!r} is out of order")
            previous = name
            self._expect(b"node")
            self._object(path + b"/" + name if path else name, depth + 1)
            self._expect(b")")

    def _regular(self, path: bytes) -> None:
        executable = False
        word = self._string(16, quiet=True)
        if word == b"executable":
            self._seen(token(word))
            self._expect(b"")
            executable = True
            word = self._string(16, quiet=True)
        if word == b"contents":
            self._seen(token(word))
            size = int.from_bytes(self._take(8), "little")
            if size > MAX_FILE:
                raise NarRefused(f"a file of {size} bytes")
            self._sink.file(path, executable, size, self._pieces(size))
            if any(self._take(-size % 8)):
                raise NarRefused("its padding is not zero")
            self._expect(b")")
        elif word == HELD and self._held:
            size, pieces = self._sink.held(path, executable, self._string(64, quiet=True).decode("ascii", "replace"))
            self._seen(token(b"contents") + size.to_bytes(8, "little"))
            for piece in pieces:
                self._seen(piece)
            self._seen(padding(size))
            self._expect(b")")
        else:
            # Nix 2.8 takes a file without contents for an empty one; then one tree would have two archives, and two hashes.
            raise NarRefused(f"{word!r} stands where contents should")

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._take(min(size, PIECE))
            size -= len(piece)
            yield piece

    def _take(self, size: int) -> bytes:
        data = self._read(size)
        self._seen(data)
        return data

    def _string(self, longest: int, *, quiet: bool = False) -> bytes:
        head = self._read(8)
        size = int.from_bytes(head, "little")
        if size > longest:
            raise NarRefused(f"a string of {size} bytes where at most {longest} are allowed")
        padded = self._read(size + -size % 8)
        if any(padded[size:]):
            raise NarRefused("its padding is not zero")
        if not quiet:
            self._seen(head + padded)
        return padded[:size]

    def _expect(self, word: bytes) -> None:
        found = self._string(max(len(word), 16))
        if found != word:
            raise NarRefused(f"{found!r} stands where {word!r} should")
