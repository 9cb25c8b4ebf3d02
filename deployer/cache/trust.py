"""Whom to believe: the trusted keys, and how many of them must have signed what is said of a path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deployer.cache.contents import content_makes_name
from deployer.cache.keys import PublicKey, signers
from deployer.formats.narinfo import NarInfo


@dataclass(frozen=True, slots=True)
class Trust:
    """What makes a path of a cache acceptable."""

    keys: tuple[PublicKey, ...] = ()
    threshold: int = 1
    """How many different keys must have signed a path."""
    in_all: bool = False
    """Whether signatures are not looked at."""

    @classmethod
    def of(cls, keys: Iterable[PublicKey | str], threshold: int = 1) -> Trust:
        """From keys, or their texts. Raises `KeyRefused`."""
        return cls(tuple(PublicKey.parse(key) if isinstance(key, str) else key for key in keys), max(1, threshold))

    def accepts(self, info: NarInfo) -> bool:
        """Whether a path may be taken; of one whose content makes its name, the content is yet to be compared."""
        return self.in_all or content_makes_name(info) or len(signers(info, self.keys)) >= self.threshold
