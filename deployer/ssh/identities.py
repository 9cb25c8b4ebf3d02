"""Private keys, read once for all connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import asyncssh

from deployer.ssh.errors import IdentityUnusable

USUAL_FILES: Final = tuple(f"~/.ssh/id_{kind}" for kind in ("ed25519", "ecdsa", "rsa", "ed25519_sk", "ecdsa_sk"))

Pair: TypeAlias = "asyncssh.SSHKey | tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]"


@dataclass(frozen=True, slots=True)
class Identities:
    """What we may log in with."""

    pairs: tuple[Pair, ...]
    files: tuple[str, ...]
    """Where these are from."""
    for_agent: tuple[Path, ...]
    """Files that are encrypted: an agent may hold their keys."""


def load_identities(host: str, files: Sequence[Path], *, required: bool, agent: bool) -> Identities:
    """The keys of these files, each with its certificate where there is one beside it.

    A file that is `required` and can't be used is an error; an encrypted one only where there is no agent.
    """
    pairs: list[Pair] = []
    loaded: list[str] = []
    encrypted: list[Path] = []
    for file in files:
        try:
            status = file.stat()
            found = _read(file, status.st_mtime_ns, status.st_size, status.st_ino)
        except asyncssh.KeyEncryptionError:
            encrypted.append(file)
            if required and not agent:
                raise IdentityUnusable(host, str(file), "it has a passphrase, and there is no agent") from None
        except asyncssh.KeyImportError as error:
            if required:
                raise IdentityUnusable(host, str(file), str(error)) from None
        except OSError as error:
            if required:
                raise IdentityUnusable(host, str(file), error.strerror or str(error)) from None
        else:
            pairs += found
            loaded.append(str(file))
    return Identities(tuple(pairs), tuple(loaded), tuple(encrypted))


@lru_cache(maxsize=256)
def _read(file: Path, changed: int, size: int, inode: int) -> tuple[Pair, ...]:
    """Read once for as long as the file stays the same."""
    try:
        key = asyncssh.read_private_key(file)
    except asyncssh.KeyImportError as error:
        if "passphrase" in str(error).lower():
            raise asyncssh.KeyEncryptionError(str(error)) from None
        raise
    certificate = file.with_name(file.name + "-cert.pub")
    if certificate.is_file():
        return ((key, asyncssh.read_certificate(certificate)), key)
    return (key,)
