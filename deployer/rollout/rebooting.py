"""Reboots that a rollout asks for: waiting until a host is there again, with another boot id."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

from deployer.copy import HostSession
from deployer.copy.errors import ConversationBroken, HostRefused
from deployer.errors import DeploymentError

_ASKING: Final = 20.0
"""Seconds for one attempt."""
_PAUSE: Final = 2.0


class NotTried(DeploymentError):
    """A host rebooted, and runs what it ran before, without having tried anything else."""

    host: str

    @property
    def message(self) -> str:
        """That it has not."""
        return "it has rebooted, and its boot unit has not tried the new generation"

    @property
    def remedy(self) -> str:
        """Where to look."""
        return f"See `journalctl -b -u deployer-recover.service` on {self.host}."


async def boot_id_of(session: HostSession) -> str:
    """Of the boot that a host is in."""
    return (await session.hello()).boot_id


async def begin_reboot(session: HostSession, transaction: str) -> None:
    """Ask for it. The host may be gone before it has answered. Raises `HostRefused`."""
    try:
        async with asyncio.timeout(_ASKING):
            await session.reboot(transaction)
    except HostRefused:
        raise
    except (DeploymentError, TimeoutError):
        return


async def await_boot(
    connect: Callable[[], Awaitable[HostSession]], hang_up: Callable[[], Awaitable[None]], before: str, deadline: float, host: str
) -> str:
    """Until the host answers from another boot than `before`; its id. Raises `ConversationBroken` at `deadline` (monotonic)."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(DeploymentError, TimeoutError):
            async with asyncio.timeout(_ASKING):
                found = await boot_id_of(await connect())
                if found != before:
                    return found
        await hang_up()
        if time.monotonic() > deadline:
            waited = time.monotonic() - began
            raise ConversationBroken(host, "reboot", f"it has not come back within {waited:.0f} s")
        await asyncio.sleep(_PAUSE)
