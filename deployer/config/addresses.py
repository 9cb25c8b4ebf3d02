"""How what listens on a host is reached from the host itself."""

from __future__ import annotations

from typing import Final

_EVERYWHERE: Final = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def reached_at(address: str) -> str:
    """Where what listens at `address` answers the host: the loopback where that stands for all addresses."""
    return _EVERYWHERE.get(address, address)
