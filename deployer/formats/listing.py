"""The `.ls` file of a binary cache: what a NAR holds, and where in it each file's bytes begin (Nix: nar-accessor.cc).

Made from the events of a NAR. Every offset follows from names, targets and sizes, so a walk over a tree on a disk that tells
the same events, without a byte of any file, makes the same listing.
"""

from __future__ import annotations

from typing import Callable, Dict, Final, Iterator, List, Optional, Tuple, Union

from deployer.formats.nar import MAGIC, NarRefused, NarSink, read_whole, token

VERSION: Final = 1

Member = Dict[str, Union[str, int, bool, "Entries"]]
"""One node, with its keys in the order in which Nix writes them."""
Entries = Dict[str, Member]


def _length(*words: bytes) -> int:
    return sum(len(token(word)) for word in words)


_CLOSE: Final = _length(b")")
_NODE: Final = _length(b"(", b"type")
_ENTRY: Final = _length(b"entry", b"(", b"name", b"node")
_ESCAPES: Final = {code: f"\\u{code:04x}" for code in range(32)}
_ESCAPES.update(str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}))


class Lister:
    """Takes a tree as it is read (`nar.NarSink`), remembers all but the bytes, and passes it on to an inner sink, if any."""

    def __init__(self, inner: Optional[NarSink] = None) -> None:
        """Nothing yet."""
        self._inner = inner
        self._at = _length(MAGIC)
        self._root: Member = {}
        self._open: List[Tuple[bytes, Entries]] = []
        """The directories that are not over, from the root down."""

    def directory(self, path: bytes) -> None:
        """A directory begins."""
        entries: Entries = {}
        self._add(path, {"type": "directory", "entries": entries})
        self._at += _NODE + _length(b"directory")
        self._open.append((path, entries))
        if self._inner:
            self._inner.directory(path)

    def symlink(self, path: bytes, target: bytes) -> None:
        """A symbolic link."""
        self._add(path, {"type": "symlink", "target": _text(target)})
        self._at += _NODE + _length(b"symlink", b"target", target) + _CLOSE + self._closed(path)
        if self._inner:
            self._inner.symlink(path, target)

    def file(self, path: bytes, executable: bool, size: int, pieces: Iterator[bytes]) -> None:
        """A regular file."""
        self._file(path, executable, size)
        if self._inner:
            self._inner.file(path, executable, size, pieces)
        else:
            for _ in pieces:
                pass

    def held(self, path: bytes, executable: bool, name: str) -> Tuple[int, Iterator[bytes]]:
        """A file that the receiver holds; only with an inner sink, which knows its size."""
        if not self._inner:
            raise NarRefused("a file is named, and its size is not known")
        size, pieces = self._inner.held(path, executable, name)
        self._file(path, executable, size)
        return size, pieces

    @property
    def size(self) -> int:
        """Bytes of the NAR, after its last event."""
        return self._at + sum(_CLOSE + self._closed(path) for path, _ in self._open)

    def root(self) -> Member:
        """The tree, as `nix nar ls --json -R` shows it."""
        return self._root

    def serialize(self) -> bytes:
        """The file, as Nix 2.8 writes it: names that are not UTF-8 byte for byte."""
        return f'{{"version":{VERSION},"root":{_json(self._root)}}}'.encode("utf-8", "surrogateescape")

    def _file(self, path: bytes, executable: bool, size: int) -> None:
        member: Member = {"type": "regular", "size": size}
        if executable:
            member["executable"] = True
        self._add(path, member)
        self._at += _NODE + _length(b"regular", *((b"executable", b"") if executable else ()), b"contents")
        # A string's length goes before its bytes: the last token above is the word, and this is the length.
        self._at += 8
        member["narOffset"] = self._at
        self._at += size + -size % 8 + _CLOSE + self._closed(path)

    def _add(self, path: bytes, member: Member) -> None:
        """Close the directories that this node is not in, and put it into the last that is left."""
        parent, _, name = path.rpartition(b"/")
        while self._open and (not path or self._open[-1][0] != parent):
            directory, _ = self._open.pop()
            self._at += _CLOSE + self._closed(directory)
        if not path:
            self._root = member
            return
        self._open[-1][1][_text(name)] = member
        self._at += _ENTRY + _length(name)

    @staticmethod
    def _closed(path: bytes) -> int:
        """What follows a node: the end of its entry, unless it is the root."""
        return _CLOSE if path else 0


def list_nar(read: Callable[[int], bytes]) -> bytes:
    """The listing of a file that is a NAR; `read(n)` returns at most n bytes, and none at the end. Raises `NarRefused`."""
    lister = Lister()
    read_whole(read, lister, lambda data: None)
    return lister.serialize()


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _json(value: Union[str, int, bool, Entries, Member]) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(key)}:{_json(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, str):
        return '"' + value.translate(_ESCAPES) + '"'
    return "true" if value is True else str(value)
