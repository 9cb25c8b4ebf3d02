"""Signing keys as Nix has them: `NAME:BASE64`, ed25519."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from deployer.cache.errors import KeyRefused
from deployer.formats.narinfo import NarInfo

_SIZE = 32
_SIGNATURE_SIZE = 64


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Whom to trust."""

    name: str
    data: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Read `NAME:BASE64`. Raises `KeyRefused`."""
        return cls(*_split(text, _SIZE))

    def __str__(self) -> str:
        """As it is read."""
        return f"{self.name}:{base64.b64encode(self.data).decode()}"

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature."""
        try:
            Ed25519PublicKey.from_public_bytes(self.data).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, repr=False)
class SecretKey:
    """Who signs. It never shows itself."""

    name: str
    data: bytes

    @classmethod
    def generate(cls, name: str) -> SecretKey:
        """A new one."""
        private = Ed25519PrivateKey.generate()
        return cls(name, private.private_bytes_raw() + private.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> SecretKey:
        """Read `NAME:BASE64`, of seed and public key. Raises `KeyRefused`."""
        key = cls(*_split(text, 2 * _SIZE))
        if key._private().public_key().public_bytes_raw() != key.data[_SIZE:]:
            raise KeyRefused(key.name)
        return key

    @property
    def public(self) -> PublicKey:
        """What others check with."""
        return PublicKey(self.name, self.data[_SIZE:])

    def serialize(self) -> str:
        """The text to keep in a secret place."""
        return f"{self.name}:{base64.b64encode(self.data).decode()}"

    def sign(self, info: NarInfo) -> str:
        """A value for `Sig`."""
        return f"{self.name}:{base64.b64encode(self._private().sign(info.fingerprint())).decode()}"

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.data[:_SIZE])


def signers(info: NarInfo, trusted: Iterable[PublicKey]) -> frozenset[bytes]:
    """The keys that have signed what is said of the path. A key counts once, however it is called and however often it signed."""
    found: set[bytes] = set()
    keys = tuple(trusted)
    for text in dict.fromkeys(info.signatures):
        try:
            name, signature = _split(text, _SIGNATURE_SIZE)
        except KeyRefused:
            continue
        found.update(key.data for key in keys if key.name == name and key.signed(info.fingerprint(), signature))
    return frozenset(found)


def _split(text: str, size: int) -> tuple[str, bytes]:
    name, colon, encoded = text.strip().partition(":")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise KeyRefused(name) from None
    if not (name and colon and len(data) == size):
        raise KeyRefused(name)
    return name, data
