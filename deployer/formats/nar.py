"""NAR archives: one way to write each tree, and a reader that refuses all others (Nix: archive.cc)."""

from __future__ import annotations

import re
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


_NODE: Final = token(b"(") + token(b"type")
_REGULAR: Final = _NODE + token(b"regular")
_SYMLINK: Final = _NODE + token(b"symlink")
_DIRECTORY: Final = _NODE + token(b"directory")
_CONTENTS: Final = token(b"contents")
_EXECUTABLE: Final = token(b"executable")
_HELD: Final = token(HELD)
_TARGET: Final = token(b"target")
_ENTRY: Final = token(b"entry")
_NAME: Final = token(b"(") + token(b"name")
_CHILD: Final = token(b"node")
_CLOSE: Final = token(b")")
_WORD: Final = len(_CLOSE)
_PRINTABLE: Final = re.compile(rb"[ -~]+")
_FLUSH: Final = 1 << 16
"""Bytes that are gathered for `seen`: one call for many short words. What is longer goes there at once."""


class NarReader:
    """Reads one tree from `read(n)`, which returns exactly n bytes or raises; `seen` gets the bytes of the true NAR.

    Words that always follow one another are read in one piece: no archive that is whole ends within one. `seen` may lag behind
    the sink by a few short files, and has everything when `tree` returns.
    """

    def __init__(
        self, read: Callable[[int], bytes], sink: NarSink, seen: Callable[[bytes], object], *, held: bool = False
    ) -> None:
        """`held` allows references to files that the receiver holds."""
        self._read, self._sink, self._seen, self._held = read, sink, seen, held
        self._gathered = bytearray()

    def tree(self) -> None:
        """Read it whole. Raises `NarRefused`."""
        self._expect(token(MAGIC))
        self._object(b"", 0)
        self._flush()

    def _object(self, path: bytes, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise NarRefused(f"it is nested deeper than {MAX_DEPTH}")
        start = self._take(len(_REGULAR))
        if start == _REGULAR:
            self._regular(path)
        elif start == _SYMLINK:
            target = self._named(_TARGET, MAX_TARGET, _CLOSE)
            if not target or b"\0" in target:
                raise NarRefused("a link's target is empty or has a NUL")
            self._sink.symlink(path, target)
        elif start == _DIRECTORY[: len(start)]:
            self._expect(_DIRECTORY[len(start) :])
            self._sink.directory(path)
            self._entries(path, depth)
        else:
            raise NarRefused(f"{_shown(start)} stands where a file, a link or a directory should begin")

    def _entries(self, path: bytes, depth: int) -> None:
        previous = b""
        word = self._take(_WORD)
        while word != _CLOSE:
            if word != _ENTRY:
                raise NarRefused(f"{_shown(word)} stands where an entry should")
            name = self._named(_NAME, MAX_NAME, _CHILD)
            if name in {b"", b".", b".."} or b"/" in name or b"\0" in name:
                raise NarRefused(f"{name!r} is not the name of a file")
            if name <= previous:
                raise NarRefused(f"{name!r} is out of order")
            previous = name
            self._object(path + b"/" + name if path else name, depth + 1)
            both = self._take(2 * _WORD)
            if both[:_WORD] != _CLOSE:
                raise NarRefused(f"{_shown(both[:_WORD])} stands where an entry should end")
            word = both[_WORD:]

    def _regular(self, path: bytes) -> None:
        head = self._read(len(_EXECUTABLE))
        executable = head == _EXECUTABLE
        if executable:
            self._gather(head)
            self._expect(token(b""))
            head = self._read(len(_EXECUTABLE))
        if head.startswith(_CONTENTS):
            self._gather(head)
            size = int.from_bytes(head[len(_CONTENTS) :], "little")
            if size > MAX_FILE:
                raise NarRefused(f"a file of {size} bytes")
            self._sink.file(path, executable, size, self._pieces(size))
            end = self._take(-size % 8 + _WORD)
            if any(end[:-_WORD]):
                raise NarRefused("its padding is not zero")
            self._check(end[-_WORD:], _CLOSE)
        elif head == _HELD and self._held:
            size, pieces = self._sink.held(path, executable, read_string(self._read, 64).decode("ascii", "replace"))
            self._gather(_CONTENTS + size.to_bytes(8, "little"))
            for piece in pieces:
                self._gather(piece)
            self._gather(padding(size))
            self._expect(_CLOSE)
        else:
            # Nix 2.8 takes a file without contents for an empty one; then one tree would have two archives, and two hashes.
            raise NarRefused(f"{_shown(head)} stands where contents should")

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._take(min(size, PIECE))
            size -= len(piece)
            yield piece

    def _named(self, before: bytes, longest: int, after: bytes) -> bytes:
        """A string between two words that are known."""
        head = self._take(len(before) + 8)
        self._check(head[:-8], before)
        size = int.from_bytes(head[-8:], "little")
        if size > longest:
            raise NarRefused(f"a string of {size} bytes where at most {longest} are allowed")
        rest = self._take(size + -size % 8 + len(after))
        if any(rest[size : -len(after)]):
            raise NarRefused("its padding is not zero")
        self._check(rest[-len(after) :], after)
        return rest[:size]

    def _expect(self, words: bytes) -> None:
        self._check(self._take(len(words)), words)

    @staticmethod
    def _check(found: bytes, words: bytes) -> None:
        if found != words:
            raise NarRefused(f"{_shown(found)} stands where {_shown(words)} should")

    def _take(self, size: int) -> bytes:
        data = self._read(size)
        self._gather(data)
        return data

    def _gather(self, data: bytes) -> None:
        if len(data) < _FLUSH:
            self._gathered += data
            if len(self._gathered) >= _FLUSH:
                self._flush()
        else:
            self._flush()
            self._seen(data)

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, bytearray()
        if gathered:
            self._seen(bytes(gathered))


def _shown(words: bytes) -> str:
    """Words of the format for a message, without their lengths."""
    return repr(" ".join(found.decode() for found in _PRINTABLE.findall(words)))


def read_whole(read: Callable[[int], bytes], sink: NarSink, seen: Callable[[bytes], object]) -> None:
    """Read a file that is one NAR and no more; `read(n)` returns at most n bytes, and none at the end. Raises `NarRefused`."""
    NarReader(exactly(read), sink, seen).tree()
    if read(1):
        raise NarRefused("something follows it")


def exactly(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Of a file's `read(n)`, which may return less, one that returns exactly n bytes or raises `NarRefused`."""

    def read_all(size: int) -> bytes:
        data = read(size)
        if len(data) == size:
            return data
        pieces, left = [data], size - len(data)
        while left and data:
            data = read(left)
            pieces.append(data)
            left -= len(data)
        if left:
            raise NarRefused("it ends too early")
        return b"".join(pieces)

    return read_all
