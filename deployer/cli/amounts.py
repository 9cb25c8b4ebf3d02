"""Amounts of bytes and of time, as people write them."""

from __future__ import annotations

import re
from typing import Final

import click

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TIMES: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def size(text: str) -> int:
    """`1500`, `20M`, `1.5G`: powers of 1024, in bytes."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGT]?)(?:i?B)?", text, re.IGNORECASE | re.ASCII)
    if match is None:
        raise click.BadParameter(f"{text!r} is not an amount such as 1500, 20M or 1.5G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def duration(text: str) -> float:
    """`30d`, `12h`, in seconds."""
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text, re.ASCII)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a time such as 30d, 12h or 4w")
    return float(int(match[1]) * _TIMES[match[2]])


def mebibytes(size: int) -> str:
    """As Nix prints it."""
    return f"{size / (1 << 20):.2f} MiB"
