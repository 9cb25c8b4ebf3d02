"""A host, for as long as a rollout lasts: the connection to it, and what is known of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from deployer.copy import HostSession
from deployer.errors import DeployerError
from deployer.formats.messages import Plan

Opener = Callable[[str], Awaitable[HostSession]]
"""Opens a fresh connection to a host, by name."""


@dataclass(slots=True)
class Visit:
    """What is known of a host, and the connection over which it is asked."""

    host: str
    opener: Opener
    plan: Plan | None = None
    boot_id: str = ""
    """Of the boot that a rollout has asked for."""
    lost: str = ""
    """Its current system, where that was gone from its store when we came: it is copied anew, and all set right."""
    seen: int = 0
    """Events of the activation that were passed on already: after a reconnection they come again."""
    _session: HostSession | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def fresh(self) -> HostSession:
        """Another connection, of which the caller takes care."""
        return await self.opener(self.host)

    async def session(self) -> HostSession:
        """The connection; a new one after `hang_up`."""
        async with self._lock:
            if self._session is None:
                self._session = await self.opener(self.host)
            return self._session

    async def hang_up(self) -> None:
        """Close the connection, if there is one."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(DeployerError, OSError, TimeoutError):
                await session.close()
