"""How much strangers may send us. Apart from what enforces it, so that settings are read without its libraries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How long and how much a download may be."""

    size: int = 8 << 30
    timeout: float = 30.0
    """Seconds without a byte."""
    first_wait: float = 0.5
    """Seconds before the second attempt; doubles each time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one archive may unpack to."""

    total_bytes: int = 16 << 30
    members: int = 1_000_000
