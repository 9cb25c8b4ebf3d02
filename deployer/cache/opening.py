"""From the addresses in the settings to caches that can be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployer.cache.binary_cache import BinaryCache
from deployer.cache.caches import Caches, OnFetched, OnTrouble
from deployer.cache.keys import PublicKey
from deployer.cache.location import Location
from deployer.cache.memory import Memory
from deployer.cache.transports import Transport, open_transport
from deployer.cache.trust import Trust
from deployer.formats import STORE_DIR

if TYPE_CHECKING:
    from deployer.cache.transports import Opener


def open_cache(url: str, **options: Any) -> Caches:
    """One cache as a substituter. The options are those of `open_caches`."""
    return open_caches([url], **options)


def open_caches(
    urls: Iterable[str],
    *,
    trusted_keys: Iterable[PublicKey | str] = (),
    threshold: int = 1,
    check: bool = True,
    store_dir: str = STORE_DIR,
    memory: Path | None = None,
    netrc: Path | None = None,
    openers: Mapping[str, Opener] | None = None,
    on_trouble: OnTrouble = lambda error: None,
    on_fetched: OnFetched = lambda url, path, size: None,
) -> Caches:
    """Caches as one substituter, each path from the first that has it. Nothing is read yet. Raises `CacheUnusable`, `KeyRefused`.

    `threshold`: how many of the trusted keys must have signed a path. `check=False` trusts everything. `memory`: the file that
    keeps what remote caches answered. `netrc`: where passwords are. `openers`: more kinds of caches, by scheme.
    """
    trust = Trust.of(trusted_keys, threshold)
    kept = Memory(memory) if memory is not None else None
    caches = []
    for url in urls:
        location = Location.parse(url)
        whom = trust if check and not location.trusted else Trust(trust.keys, threshold, in_all=True)
        transport = transport_for(location, netrc, openers)
        caches.append(BinaryCache(location, transport, trust=whom, store_dir=store_dir, memory=kept))
    return Caches(caches, on_trouble=on_trouble, on_fetched=on_fetched)


def transport_for(location: Location, netrc: Path | None, openers: Mapping[str, Opener] | None) -> Transport:
    """The one that was given for the kind of cache, or ours."""
    opener = (openers or {}).get(location.scheme)
    return opener(location) if opener is not None else open_transport(location, netrc=netrc)
