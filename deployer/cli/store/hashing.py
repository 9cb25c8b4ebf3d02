"""Hashes of files and directories."""

from __future__ import annotations

import hashlib

from deployer.cli.store.errors import Misused
from deployer.formats.hashes import Hash
from deployer.store.trees import write_nar


def hash_of(path: str, algorithm: str, *, flat: bool) -> Hash:
    """Of the NAR of a file or directory; with `flat`, of a file's bytes."""
    digest = hashlib.new(algorithm)
    if not flat:
        write_nar(path, digest.update)
        return Hash(algorithm, digest.digest())
    try:
        with open(path, "rb") as file:
            return Hash(algorithm, hashlib.file_digest(file, algorithm).digest())
    except IsADirectoryError:
        raise Misused(f"{path} is a directory", "Leave --flat away, to hash its NAR.") from None
