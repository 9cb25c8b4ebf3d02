"""Which store paths a stream of bytes mentions, by their 32-letter hash parts (Nix: references.cc).

Looking at each byte is slow in Python. Wherever a hash part stands, eight of its letters begin at a multiple of 24 of the
window that is looked through: only those are compared, as numbers, with all that the wanted parts have; what hits is then
searched for by its whole length.
"""

from __future__ import annotations

import sys
from typing import Dict, Final, Iterable, List, Set

from deployer.formats.storepath import HASH_LENGTH

_GRAM: Final = 8
_STEP: Final = HASH_LENGTH - _GRAM
"""Of any so many offsets in a row, and one, one is a multiple of it; so no part fits between two grams."""
_WINDOW: Final = 1 << 18
"""Bytes that are looked through at once; shorter pieces are gathered."""


class ReferenceScanner:
    """Takes bytes piece by piece, and remembers which of the hash parts occurred."""

    def __init__(self, hash_parts: Iterable[str]) -> None:
        """Only these are looked for."""
        self._found: Set[str] = set()
        self._grams: Dict[int, List[bytes]] = {}
        for part in sorted({part.encode() for part in hash_parts}):
            for gram in _grams(part):
                self._grams.setdefault(gram, []).append(part)
        self._pieces: List[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Look through a piece; what lies across two pieces is found too."""
        if not self._grams:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= _WINDOW:
            self._search()

    @property
    def found(self) -> Set[str]:
        """Those that occurred so far."""
        self._search()
        return self._found

    def _search(self) -> None:
        window = b"".join(self._pieces)
        if self._grams and len(window) >= HASH_LENGTH:
            numbers = memoryview(window)[: len(window) // _GRAM * _GRAM].cast("Q")[:: _STEP // _GRAM]
            if not self._grams.keys().isdisjoint(numbers):
                for part in {part for number in self._grams.keys() & set(numbers) for part in self._grams[number]}:
                    if part in window:
                        self._remember(part)
        tail = window[-(HASH_LENGTH - 1) :]
        self._pieces, self._size = [tail], len(tail)

    def _remember(self, part: bytes) -> None:
        """It need not be looked for again."""
        self._found.add(part.decode())
        for gram in _grams(part):
            sharing = [other for other in self._grams.get(gram, ()) if other != part]
            if sharing:
                self._grams[gram] = sharing
            else:
                self._grams.pop(gram, None)


def _grams(part: bytes) -> Set[int]:
    """All runs of eight letters of a hash part, as the machine's numbers."""
    return {int.from_bytes(part[at : at + _GRAM], sys.byteorder) for at in range(_STEP + 1)}
