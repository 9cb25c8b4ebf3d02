"""Content addresses: by which a path's name follows from what it holds, so that it needs no signature (Nix)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Iterable

from deployer.formats.hashes import Hash, HashRefused
from deployer.formats.storepath import STORE_DIR, StorePath, StorePathRefused, make_fixed_output_path, make_text_path_of

TEXT: Final = "text"
"""A file by the hash of its bytes, with references."""
FLAT: Final = "flat"
"""A file by the hash of its bytes."""
RECURSIVE: Final = "recursive"
"""A tree by the hash of its NAR, its own hash part masked."""
_PREFIXES: Final = {TEXT: "text:", RECURSIVE: "fixed:r:", FLAT: "fixed:"}


@dataclass(frozen=True)
class ContentAddress:
    """How a path was named, and by what hash."""

    method: str
    hash: Hash

    def __str__(self) -> str:
        """As narinfo and the database have it: `text:sha256:…`, `fixed:sha256:…`, `fixed:r:sha256:…`."""
        return _PREFIXES[self.method] + self.hash.base32

    @classmethod
    def parse(cls, text: str) -> ContentAddress:
        """Read one. Raises `HashRefused`."""
        for method, prefix in _PREFIXES.items():
            if text.startswith(prefix):
                found = cls(method, Hash.parse(text[len(prefix) :]))
                if str(found) == text and (method != TEXT or found.hash.algorithm == "sha256"):
                    return found
                break
        raise HashRefused(text)

    def path(
        self, name: str, references: Iterable[StorePath] = (), store_dir: str = STORE_DIR, *, itself: bool = False
    ) -> StorePath:
        """The path of this content under this name; `itself`: whether it mentions its own name. Raises `StorePathRefused`."""
        if self.method == TEXT:
            if itself:
                raise StorePathRefused(name, "a text can't mention its own name")
            return make_text_path_of(name, self.hash.digest, references, store_dir)
        return make_fixed_output_path(
            name,
            self.hash.algorithm,
            self.hash.digest,
            store_dir,
            recursive=self.method == RECURSIVE,
            references=references,
            refers_to_itself=itself,
        )

    def names(self, path: StorePath, references: Iterable[StorePath]) -> bool:
        """Whether the path, which may be among its references, has the name that this content gives."""
        others = {*references}
        itself = path in others
        try:
            return self.path(path.name, others - {path}, path.store_dir, itself=itself) == path
        except StorePathRefused:
            return False
