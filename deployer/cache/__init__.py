"""Binary caches in Nix's layout: paths are fetched from them, checked against trusted keys, and copied to them.

`BinaryCache` reads one (`file://`, `http://`, `https://`); `push` fills one. The door loads its parts when they are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deployer.cache.binary_cache import BinaryCache
    from deployer.cache.errors import CacheCorrupt, CacheUnusable, KeyRefused, PathNotTrusted
    from deployer.cache.keys import PublicKey, SecretKey
    from deployer.cache.target import push

__all__ = [
    "BinaryCache",
    "CacheCorrupt",
    "CacheUnusable",
    "KeyRefused",
    "PathNotTrusted",
    "PublicKey",
    "SecretKey",
    "push",
]

_MODULES = {"BinaryCache": "binary_cache", "PublicKey": "keys", "SecretKey": "keys", "push": "target"}


def __getattr__(name: str) -> Any:
    """Load the module that has it: `cryptography` and `zstandard` cost more than a command's start-up may."""
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"deployer.cache.{_MODULES.get(name, 'errors')}"), name)
