"""Which store paths a stream of bytes mentions, by their 32-letter hash parts (Nix: references.cc)."""

from __future__ import annotations

import re
from typing import Final, Iterable, Set

from deployer.formats.storepath import HASH_LENGTH

_RUN: Final = re.compile(rb"[0-9abcdfghijklmnpqrsvwxyz]{32,}")


class ReferenceScanner:
    """Takes bytes piece by piece, and remembers which of the hash parts occurred."""

    def __init__(self, hash_parts: Iterable[str]) -> None:
        """Only these are looked for."""
        self._wanted: Set[bytes] = {part.encode() for part in hash_parts}
        self._tail = b""
        self.found: Set[str] = set()

    def feed(self, data: bytes) -> None:
        """Look through a piece; what lies across two pieces is found too."""
        if not self._wanted:
            return
        window = self._tail + data
        for run in _RUN.finditer(window):
            letters = run.group()
            for at in range(len(letters) - HASH_LENGTH + 1):
                part = letters[at : at + HASH_LENGTH]
                if part in self._wanted:
                    self._wanted.discard(part)
                    self.found.add(part.decode())
        self._tail = window[-(HASH_LENGTH - 1) :]
