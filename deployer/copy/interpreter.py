"""The Python that is sent to a host without one, in a form that a shell can unpack.

A gzip stream of entries, directories before what is in them, `sums` last; each is a line, and then SIZE bytes:

    d 0 NAME        a directory
    f SIZE NAME     a file
    x SIZE NAME     a program

`sums` is what sha256sum(1) checks: it has the hash of every other file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deployer.store import Store

SUMS = "sums"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python for one kind of machine, as the controller has it."""

    path: str
    """In the store, on every machine."""
    nar_hash: str
    nar_size: int
    kit: bytes


class InterpreterSource(Protocol):
    """Where the controller has its Pythons from, by kind of machine, as `uname -m` names it."""

    def path(self, machine: str) -> str:
        """Of the one that is pinned now, whether it is made or not."""
        ...

    async def __call__(self, machine: str) -> Interpreter:
        """That one, made first where it has to be."""
        ...


def read_interpreter(store: Store, path: str) -> Interpreter:
    """Pack what is in a store."""
    info = store.query(path)
    return Interpreter(info.path, info.nar_hash, info.nar_size, pack(store.physical(path)))


def pack(tree: Path) -> bytes:
    """Pack a tree of directories and files."""
    packed, sums = io.BytesIO(), []
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0) as stream:
        for place, directories, files in os.walk(tree):
            directories.sort()
            above = Path(place).relative_to(tree)
            if above.parts:
                stream.write(f"d 0 {above}\n".encode())
            for name in sorted(files):
                data = Path(place, name).read_bytes()
                kind = "x" if os.access(Path(place, name), os.X_OK) else "f"
                stream.write(f"{kind} {len(data)} {above / name}\n".encode() + data)
                sums.append(f"{hashlib.sha256(data).hexdigest()}  {above / name}\n")
        text = "".join(sums).encode()
        stream.write(f"f {len(text)} {SUMS}\n".encode() + text)
    return packed.getvalue()
