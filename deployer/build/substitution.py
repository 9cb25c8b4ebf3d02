"""The door through which binary caches come in: what `realise` asks of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from deployer.formats import StorePath
    from deployer.store import Store


@runtime_checkable
class Substituter(Protocol):
    """A binary cache that can fill the store."""

    async def held(self, paths: Collection[StorePath]) -> Collection[StorePath]:
        """Those of `paths` that it has, with all that they refer to."""
        ...

    async def substitute(self, store: Store, path: StorePath) -> None:
        """Register `path` and its closure in the store, verified."""
        ...
