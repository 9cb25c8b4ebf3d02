"""Store paths: their syntax, and how each kind of path is computed (Nix: store-api.cc, "Store paths")."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Iterable

from deployer.errors import DeploymentError
from deployer.formats import base32

STORE_DIR: Final = "/nix/store"
HASH_LENGTH: Final = 32
_NAME: Final = re.compile(r"(?!\.{1,2}(?:-|$))[0-9a-zA-Z+._?=-]{1,211}")
_HASH: Final = re.compile(r"[0-9abcdfghijklmnpqrsvwxyz]{32}")


class StorePathRefused(DeploymentError):
    """A text that should be a store path is none."""

    text: str
    reason: str

    @property
    def message(self) -> str:
        """What it is, and why not."""
        return f"{self.text[:300]!r} is not a store path: {self.reason}"


@dataclass(frozen=True, order=True)
class StorePath:
    """`STORE_DIR/HASH-NAME`."""

    hash_part: str
    name: str
    store_dir: str = STORE_DIR

    def __str__(self) -> str:
        """The whole path."""
        return f"{self.store_dir}/{self.hash_part}-{self.name}"

    @property
    def base_name(self) -> str:
        """`HASH-NAME`."""
        return f"{self.hash_part}-{self.name}"

    @classmethod
    def parse(cls, text: str, store_dir: str = STORE_DIR) -> StorePath:
        """Read a path that stands directly in the store. Raises `StorePathRefused`."""
        prefix = store_dir + "/"
        if not text.startswith(prefix):
            raise StorePathRefused(text, f"it does not stand in {store_dir}")
        return cls.parse_base(text[len(prefix) :], store_dir)

    @classmethod
    def parse_base(cls, base: str, store_dir: str = STORE_DIR) -> StorePath:
        """Read `HASH-NAME`."""
        hash_part, dash, name = base[:HASH_LENGTH], base[HASH_LENGTH : HASH_LENGTH + 1], base[HASH_LENGTH + 1 :]
        if not _HASH.fullmatch(hash_part) or dash != "-":
            raise StorePathRefused(base, "it does not begin with 32 base-32 digits and a dash")
        return cls(hash_part, check_name(name), store_dir)


def check_name(name: str) -> str:
    """A name that Nix allows. Raises `StorePathRefused`."""
    if not _NAME.fullmatch(name):
        raise StorePathRefused(name, "names are 1 to 211 of 0-9 a-z A-Z + - . _ ? =, and not `.` or `..`")
    return name


def compress(digest: bytes, size: int = 20) -> bytes:
    """Fold a hash to `size` bytes by exclusive or."""
    out = bytearray(size)
    for at, byte in enumerate(digest):
        out[at % size] ^= byte
    return bytes(out)


def make_store_path(kind: str, inner: bytes, name: str, store_dir: str = STORE_DIR) -> StorePath:
    """The path of a fingerprint. `kind` is `text`, `source` or `output:ID`, with `:REFERENCE`s; `inner` a SHA-256."""
    fingerprint = f"{kind}:sha256:{inner.hex()}:{store_dir}:{check_name(name)}"
    return StorePath(base32.encode(compress(hashlib.sha256(fingerprint.encode()).digest())), name, store_dir)


def make_text_path(name: str, content: bytes, references: Iterable[StorePath] = (), store_dir: str = STORE_DIR) -> StorePath:
    """Of a file with known content, such as a `.drv`."""
    return make_text_path_of(name, hashlib.sha256(content).digest(), references, store_dir)


def make_text_path_of(name: str, sha256: bytes, references: Iterable[StorePath] = (), store_dir: str = STORE_DIR) -> StorePath:
    """Of a file by the SHA-256 of its content."""
    kind = ":".join(["text", *sorted(str(reference) for reference in references)])
    return make_store_path(kind, sha256, name, store_dir)


def make_source_path(
    name: str,
    nar_sha256: bytes,
    references: Iterable[StorePath] = (),
    store_dir: str = STORE_DIR,
    *,
    refers_to_itself: bool = False,
) -> StorePath:
    """Of a tree by the SHA-256 of its NAR (with its own hash masked, where it refers to itself)."""
    kind = ":".join(["source", *sorted(str(reference) for reference in references), *(["self"] if refers_to_itself else [])])
    return make_store_path(kind, nar_sha256, name, store_dir)


def make_fixed_output_path(
    name: str,
    algorithm: str,
    digest: bytes,
    store_dir: str = STORE_DIR,
    *,
    recursive: bool = False,
    references: Iterable[StorePath] = (),
    refers_to_itself: bool = False,
) -> StorePath:
    """Of a fixed output: a file by the hash of its bytes, or a tree by that of its NAR.

    Only a tree by its SHA-256 may refer to anything. Raises `StorePathRefused`.
    """
    references = tuple(references)
    if recursive and algorithm == "sha256":
        return make_source_path(name, digest, references, store_dir, refers_to_itself=refers_to_itself)
    if references or refers_to_itself:
        raise StorePathRefused(name, "it refers to paths, and only a tree that is named by its SHA-256 may")
    inner = f"fixed:out:{'r:' if recursive else ''}{algorithm}:{digest.hex()}:"
    return make_store_path("output:out", hashlib.sha256(inner.encode()).digest(), name, store_dir)


def make_output_path(output: str, masked_hash: bytes, name: str, store_dir: str = STORE_DIR) -> StorePath:
    """Of an input-addressed output, by the hash of its derivation with the outputs masked."""
    return make_store_path(f"output:{output}", masked_hash, name if output == "out" else f"{name}-{output}", store_dir)
