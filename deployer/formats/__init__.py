"""Bytes to values and back: Nix's formats, byte for byte, and the messages between a controller and a host.

Pure: nothing here opens a file or a socket. Standard library only, Python 3.9 and up, because it travels to hosts.
"""

from deployer.formats.derivation import Derivation, DerivationRefused, Output
from deployer.formats.hashes import Hash, HashRefused
from deployer.formats.nar import NarRefused
from deployer.formats.storepath import STORE_DIR, StorePath, StorePathRefused

__all__ = [
    "STORE_DIR",
    "Derivation",
    "DerivationRefused",
    "Hash",
    "HashRefused",
    "NarRefused",
    "Output",
    "StorePath",
    "StorePathRefused",
]
