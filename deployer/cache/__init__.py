"""Binary caches in Nix's layout: paths are fetched from them, checked against trusted keys, and copied to them.

`open_caches` makes one substituter of any number of caches; `push` fills one. The door loads its parts when they are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deployer.cache.caches import Caches
    from deployer.cache.errors import CacheCorrupt, CacheUnusable, KeyRefused, PathNotCached, PathNotTrusted
    from deployer.cache.keys import PublicKey, SecretKey
    from deployer.cache.opening import open_cache, open_caches
    from deployer.cache.target import push

__all__ = [
    "CacheCorrupt",
    "CacheUnusable",
    "Caches",
    "KeyRefused",
    "PathNotCached",
    "PathNotTrusted",
    "PublicKey",
    "SecretKey",
    "open_cache",
    "open_caches",
    "push",
]

_MODULES = {
    "Caches": "caches",
    "PublicKey": "keys",
    "SecretKey": "keys",
    "open_cache": "opening",
    "open_caches": "opening",
    "push": "target",
}


def __getattr__(name: str) -> Any:
    """Load the module that has it: `cryptography` and `zstandard` cost more than a command's start-up may."""
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"deployer.cache.{_MODULES.get(name, 'errors')}"), name)
