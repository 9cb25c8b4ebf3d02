"""Hashes as Nix writes them: hexadecimal, base 32, base 64 and SRI."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final, Mapping

from deployer.errors import DeploymentError
from deployer.formats import base32

SIZES: Final[Mapping[str, int]] = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
"""Algorithm to bytes."""


@dataclass(eq=False)
class HashRefused(DeploymentError):
    """A text that should be a hash is none."""

    text: str

    @property
    def message(self) -> str:
        """What it is."""
        return f"{self.text[:200]!r} is not a hash"

    @property
    def remedy(self) -> str:
        """What one looks like."""
        return "Write `sha256-…` (SRI) or `sha256:…` with base 32 or hexadecimal digits."


@dataclass(frozen=True)
class Hash:
    """A digest and how it was made."""

    algorithm: str
    digest: bytes

    @property
    def hexadecimal(self) -> str:
        """Two digits a byte."""
        return self.digest.hex()

    @property
    def base32(self) -> str:
        """`sha256:` and base 32, as narinfo and the database have it."""
        return f"{self.algorithm}:{base32.encode(self.digest)}"

    @property
    def sri(self) -> str:
        """`sha256-` and base 64."""
        return f"{self.algorithm}-{base64.b64encode(self.digest).decode()}"

    @classmethod
    def parse(cls, text: str) -> Hash:
        """Read any of the forms that name their algorithm. Raises `HashRefused`."""
        for separator in ("-", ":"):
            algorithm, found, digits = text.partition(separator)
            if found and algorithm in SIZES:
                return cls(algorithm, _digest(text, digits, SIZES[algorithm], sri=separator == "-"))
        raise HashRefused(text)


def _digest(text: str, digits: str, size: int, *, sri: bool) -> bytes:
    try:
        if not sri and len(digits) == 2 * size:
            return bytes.fromhex(digits)
        if not sri and len(digits) == base32.encoded_length(size):
            return base32.decode(digits)
        digest = base64.b64decode(digits, validate=True)
    except (ValueError, binascii.Error):
        raise HashRefused(text) from None
    if len(digest) != size:
        raise HashRefused(text)
    return digest
