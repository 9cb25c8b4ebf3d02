"""Which of two versions of a Debian package is newer, as dpkg says it (Debian policy, 5.6.12)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_PARTS: Final = re.compile(r"(\D*)(\d*)", re.ASCII)

_Key = tuple[tuple[tuple[int, ...], int], ...]


@dataclass(frozen=True, slots=True, order=True)
class DebianVersion:
    """A version: what `<` says of two of them is what `dpkg --compare-versions` says."""

    text: str = field(compare=False)
    key: tuple[int, _Key, _Key] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> DebianVersion:
        """A version as it stands in an index: `[EPOCH:]UPSTREAM[-REVISION]`. What is before a colon and no number is no epoch."""
        epoch, colon, rest = text.partition(":")
        if not (colon and epoch.isdecimal()):
            epoch, rest = "0", text
        upstream, dash, revision = rest.rpartition("-")
        return cls(text, (int(epoch), _key(upstream if dash else revision), _key(revision if dash else "")))

    def __str__(self) -> str:
        """As it was written."""
        return self.text


_END: Final = 0
"""The end of a word counts as a character: after `~`, before all others."""


def _key(part: str) -> _Key:
    """Words and numbers by turns. A word that is not there is empty, and a number that is not there is 0."""
    pairs = [(word, number) for word, number in _PARTS.findall(part) if word or number]
    keys = [((*map(_rank, word), _END), int(number or "0")) for word, number in pairs or [("", "")]]
    return (*keys, ((_END,), 0))


def _rank(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
