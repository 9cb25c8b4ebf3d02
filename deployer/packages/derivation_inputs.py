"""Derivations and sources as values that know their store paths, and can be written into a store later."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deployer.formats import Derivation, Output, StorePath, nar
from deployer.formats.derivation import hash_modulo, with_output_paths
from deployer.formats.storepath import make_source_path

_PIECE: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Source:
    """A file or directory beside packages.yaml."""

    path: StorePath
    origin: Path
    ignored: frozenset[str]

    def nar(self) -> Iterator[bytes]:
        """What it holds, as the store takes it."""
        return dump_nar(self.origin, self.ignored)


@dataclass(frozen=True, slots=True)
class Made:
    """A derivation with all that it is made from."""

    path: StorePath
    derivation: Derivation
    modulo: str
    """What it is to those that depend on it."""
    inputs: tuple[Made, ...] = field(repr=False)
    sources: tuple[Source, ...] = ()

    @property
    def output(self) -> StorePath:
        """The path of its only output."""
        return StorePath.parse(self.derivation.outputs["out"].path, self.path.store_dir)


def make_source(path: Path, *, store_dir: str, ignored: frozenset[str]) -> Source:
    """Hash a file or directory."""
    digest = hashlib.sha256()
    for piece in dump_nar(path, ignored):
        digest.update(piece)
    return Source(make_source_path(path.name, digest.digest(), (), store_dir), path, ignored)


def make_derivation(
    name: str,
    *,
    builder: str,
    system: str,
    environment: Mapping[str, str],
    store_dir: str,
    arguments: tuple[str, ...] = (),
    inputs: tuple[Made, ...] = (),
    sources: tuple[Source, ...] = (),
    fixed: tuple[str, bytes] | None = None,
) -> Made:
    """A derivation with one output. `fixed`: algorithm and digest of the flat file that it is."""
    output = Output("", fixed[0], fixed[1].hex()) if fixed else Output()
    pinned = {"outputHashAlgo": fixed[0], "outputHash": fixed[1].hex(), "outputHashMode": "flat"} if fixed else {}
    known = {str(item.path): item for item in inputs}
    draft = Derivation(
        name=name,
        outputs={"out": output},
        input_derivations=dict.fromkeys(known, ("out",)),
        input_sources=tuple(sorted({str(source.path) for source in sources})),
        system=system,
        builder=builder,
        arguments=arguments,
        environment={**environment, **pinned, "name": name, "builder": builder, "system": system, "out": ""},
    )

    def hash_of(path: str) -> str:
        return known[path].modulo

    derivation = with_output_paths(draft, hash_of, store_dir)
    return Made(derivation.path(store_dir), derivation, hash_modulo(derivation, hash_of), tuple(known.values()), sources)


def dump_nar(path: Path, ignored: frozenset[str]) -> Iterator[bytes]:
    """The NAR of a file or directory, without the entries whose name is ignored."""
    yield nar.token(nar.MAGIC)
    yield from _dump(path, ignored)


def _dump(path: Path, ignored: frozenset[str]) -> Iterator[bytes]:
    status = path.lstat()
    yield _tokens("(", "type")
    if stat.S_ISLNK(status.st_mode):
        yield _tokens("symlink", "target") + nar.token(os.fsencode(os.readlink(path)))
    elif stat.S_ISDIR(status.st_mode):
        yield _tokens("directory")
        for name in sorted(map(os.fsencode, os.listdir(path))):
            if os.fsdecode(name) not in ignored:
                yield _tokens("entry", "(", "name") + nar.token(name) + _tokens("node")
                yield from _dump(path / os.fsdecode(name), ignored)
                yield _tokens(")")
    elif stat.S_ISREG(status.st_mode):
        yield _tokens("regular", *(("executable", "") if status.st_mode & 0o100 else ()), "contents")
        yield from _contents(path, status.st_size)
    else:
        raise OSError(f"{path} is neither a file nor a directory nor a link")
    yield _tokens(")")


def _contents(path: Path, size: int) -> Iterator[bytes]:
    yield size.to_bytes(8, "little")
    left = size
    with path.open("rb") as file:
        while left and (piece := file.read(min(_PIECE, left))):
            left -= len(piece)
            yield piece
    if left:
        raise OSError(f"{path} became shorter while it was read")
    yield nar.padding(size)


def _tokens(*words: str) -> bytes:
    return b"".join(nar.token(word.encode()) for word in words)
