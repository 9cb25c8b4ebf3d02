"""A store on a disk: what is valid, how it gets in whole, what stays, what goes. Nix's formats and rules.

The same code serves the controller and hosts. Standard library only, Python 3.9 and up.
"""

from deployer.store.batch import Batch
from deployer.store.collector import Collected, collect, delete
from deployer.store.database import PathInfo
from deployer.store.errors import (
    FileRefused,
    PathAlive,
    PathCorrupt,
    PathDamaged,
    PathNotValid,
    PathOccupied,
    ReferenceInvalid,
    StoreError,
    StoreFull,
    StoreUnusable,
)
from deployer.store.optimise import Optimised, optimise
from deployer.store.store import SourceChanging, Store, roots_of
from deployer.store.verify import Damage, verify

__all__ = [
    "Batch",
    "Collected",
    "Damage",
    "FileRefused",
    "Optimised",
    "PathAlive",
    "PathCorrupt",
    "PathDamaged",
    "PathInfo",
    "PathNotValid",
    "PathOccupied",
    "ReferenceInvalid",
    "SourceChanging",
    "Store",
    "StoreError",
    "StoreFull",
    "StoreUnusable",
    "collect",
    "delete",
    "optimise",
    "roots_of",
    "verify",
]
