"""Hashes as Nix writes them: hexadecimal, base 32, base 64 and SRI."""

from __future__ import annotations

import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final, Mapping

from deployer.errors import DeploymentError
from deployer.formats import base32

SIZES: Final[Mapping[str, int]] = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
"""Algorithm to bytes."""
ENCODINGS: Final = ("base16", "base32", "base64", "sri")
_HEXADECIMAL: Final = re.compile("[0-9a-fA-F]*")
_BASE64: Final = re.compile("[0-9a-zA-Z+/]*={0,2}")


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

    @classmethod
    def of(cls, algorithm: str, data: bytes) -> Hash:
        """Hash bytes."""
        return cls(algorithm, hashlib.new(algorithm, data).digest())

    @property
    def hexadecimal(self) -> str:
        """Two digits a byte, and nothing before them."""
        return self.digest.hex()

    @property
    def nix32(self) -> str:
        """Nix's base 32, and nothing before it."""
        return base32.encode(self.digest)

    @property
    def base32(self) -> str:
        """`sha256:` and base 32, as narinfo and the database have it."""
        return f"{self.algorithm}:{self.nix32}"

    @property
    def base64(self) -> str:
        """Base 64 with its padding, and nothing before it."""
        return binascii.b2a_base64(self.digest, newline=False).decode()

    @property
    def sri(self) -> str:
        """`sha256-` and base 64."""
        return f"{self.algorithm}-{self.base64}"

    def to(self, encoding: str) -> str:
        """The digits in one of `ENCODINGS`, as `nix hash to-ENCODING` prints them."""
        return {"base16": self.hexadecimal, "base32": self.nix32, "base64": self.base64, "sri": self.sri}[encoding]

    @classmethod
    def parse(cls, text: str, algorithm: str = "") -> Hash:
        """Read any form that Nix reads: `ALGORITHM:` and base 16, 32 or 64, SRI, or the digits alone of a given algorithm.

        A text that names another algorithm than the one given is refused. Raises `HashRefused`.
        """
        named, separator, digits = text.partition(":")
        if not separator:
            named, separator, digits = text.partition("-")
        if not separator:
            named, digits = algorithm, text
        if named not in SIZES or algorithm not in {"", named}:
            raise HashRefused(text)
        return cls(named, _digest(text, digits, SIZES[named], sri=separator == "-"))


def _digest(text: str, digits: str, size: int, *, sri: bool) -> bytes:
    """Nix tells the encodings apart by their length, but for SRI, which is base 64 and may lack its padding."""
    try:
        if not sri and len(digits) == 2 * size and _HEXADECIMAL.fullmatch(digits):
            return bytes.fromhex(digits)
        if not sri and len(digits) == base32.encoded_length(size):
            return base32.decode(digits)
        padded = digits + "=" * (-len(digits) % 4) if sri else digits
        if _BASE64.fullmatch(padded):
            digest = binascii.a2b_base64(padded)
            if len(digest) == size:
                return digest
    except ValueError:
        pass
    raise HashRefused(text)
