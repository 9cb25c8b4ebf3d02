"""Hosts that a rollout left in the middle of an activation as its controller died: nobody has the token any more that would
confirm them, so they go back by themselves, and a rollout that goes on begins them again after that."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

from deployer.copy import HostSession
from deployer.errors import DeploymentError
from deployer.formats.messages import HEALTHY

_SILENCE: Final = 15.0
"""Seconds without a word before a host is asked again over a fresh connection."""
_PAUSE: Final = 2.0


async def await_rest(
    connect: Callable[[], Awaitable[HostSession]], hang_up: Callable[[], Awaitable[None]], deadline: float, *, reboots: bool
) -> None:
    """Until nothing is under way on a host any more, or until `deadline` (monotonic): then the preflight tells how it stands.

    One that cannot be reached is waited for where it `reboots`.
    """
    while time.monotonic() < deadline:
        try:
            session = await connect()
        except DeploymentError:
            if not reboots:
                return
        else:
            with contextlib.suppress(DeploymentError, TimeoutError):
                async with asyncio.timeout(max(deadline - time.monotonic(), _PAUSE)):
                    if await _is_at_rest(session):
                        return
            await hang_up()
        await asyncio.sleep(_PAUSE)


async def _is_at_rest(session: HostSession) -> bool:
    """Whether the last transaction has ended, and with it all reboots that belong to it."""
    transaction = (await session.status()).transaction
    if not transaction:
        return True
    outcome = await session.attach(transaction, lambda event: None, silence=_SILENCE)
    return outcome.state != HEALTHY and not outcome.reboots
