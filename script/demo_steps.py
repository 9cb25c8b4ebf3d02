"""The steps of the demonstration, in order. `demo.py` runs them."""

from __future__ import annotations

from typing import Final

from demo import Step

EXAMPLE: Final = "inventories/quickstart"
"""Copied before the first step, so that steps may edit it."""
HOSTS: Final = ("web1", "web2", "watch1")

STEPS: Final[tuple[Step, ...]] = (
    Step(
        "Three real hosts answer over SSH",
        'for host in web1 web2 watch1; do ssh -F "$SSH_CONFIG" "$host" hostname; done',
        text="watch1",
    ),
)
