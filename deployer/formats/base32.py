"""Nix's base 32: the bytes as a little-endian integer, most significant digit first (Nix manual, "store path")."""

from __future__ import annotations

from typing import Final

ALPHABET: Final = "0123456789abcdfghijklmnpqrsvwxyz"
_VALUES: Final = {letter: value for value, letter in enumerate(ALPHABET)}


def encoded_length(size: int) -> int:
    """Letters for `size` bytes."""
    return (size * 8 - 1) // 5 + 1 if size else 0


def encode(data: bytes) -> str:
    """Bytes to letters."""
    number = int.from_bytes(data, "little")
    return "".join(ALPHABET[number >> (5 * at) & 31] for at in reversed(range(encoded_length(len(data)))))


def decode(text: str) -> bytes:
    """Letters to bytes. Raises `ValueError` for anything that `encode` would not write."""
    size = len(text) * 5 // 8
    number = 0
    for letter in text:
        try:
            number = number << 5 | _VALUES[letter]
        except KeyError:
            raise ValueError(f"{letter!r} is not a base-32 digit of Nix's") from None
    if encoded_length(size) != len(text) or number >> (8 * size):
        raise ValueError(f"{text[:80]!r} is not the base-32 form of any bytes")
    return number.to_bytes(size, "little")
