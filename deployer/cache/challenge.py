"""Whether others made the same of the same derivation: paths compared with what caches, and a second build, have.

A path of another hash elsewhere shows that its build is not reproducible, or that somebody tampers; one that is nowhere else
shows nothing. What caches say is compared and not taken, so that it need not be signed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from deployer.errors import DeployerError
from deployer.formats import StorePath
from deployer.store import PathInfo, Store

if TYPE_CHECKING:
    from deployer.cache.caches import Caches


class Verdict(Enum):
    """What is known of a path."""

    IDENTICAL = "identical"
    """All who have it have the same."""
    DIFFERENT = "different"
    UNKNOWN = "unknown"
    """Nobody else could tell."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one of the others has."""

    who: str
    """The address of a cache, or what the second build is called."""
    nar_hash: str = ""
    """`sha256:` and base 32; empty where they could not tell."""
    note: str = ""
    """Why not, or where theirs can be looked at."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One path, here and elsewhere."""

    path: str
    nar_hash: str
    """Here."""
    opinions: tuple[Opinion, ...]

    @property
    def verdict(self) -> Verdict:
        """One other hash is enough to be different."""
        found = {opinion.nar_hash for opinion in self.opinions if opinion.nar_hash}
        if not found:
            return Verdict.UNKNOWN
        return Verdict.IDENTICAL if found == {self.nar_hash} else Verdict.DIFFERENT

    @property
    def differing(self) -> tuple[Opinion, ...]:
        """Those who have another."""
        return tuple(opinion for opinion in self.opinions if opinion.nar_hash not in {"", self.nar_hash})


Rebuild = Callable[[Sequence[PathInfo]], Awaitable[Mapping[str, Opinion]]]
"""Builds paths again, aside, and tells of each what came of it."""


async def challenge(
    store: Store, paths: Sequence[StorePath], caches: Sequence[Caches], *, rebuild: Rebuild | None = None
) -> tuple[Comparison, ...]:
    """Compare what is valid in a store with each of the caches, and with a second build. Raises `PathNotValid`.

    A cache that can't be asked is one that could not tell.
    """
    infos = [store.query(path) for path in paths]
    asked = await asyncio.gather(*(_ask(cache, info, store.store_dir) for info in infos for cache in caches))
    rebuilt = await rebuild(infos) if rebuild is not None else {}
    found = []
    for at, info in enumerate(infos):
        opinions = [*asked[at * len(caches) : (at + 1) * len(caches)], *([rebuilt[info.path]] if info.path in rebuilt else [])]
        found.append(Comparison(info.path, info.nar_hash, tuple(opinions)))
    return tuple(found)


async def _ask(cache: Caches, info: PathInfo, store_dir: str) -> Opinion:
    who = ", ".join(cache.urls)
    try:
        found = await cache.query(StorePath.parse(info.path, store_dir))
    except DeployerError as error:
        return Opinion(who, note=error.message)
    return Opinion(who, found.nar_hash.base32) if found is not None else Opinion(who, note="does not have it")
