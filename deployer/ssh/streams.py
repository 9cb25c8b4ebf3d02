"""The receiving end of a channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncssh
from asyncssh.stream import SSHClientStreamSession

from deployer.ssh.errors import escaped


class ByteSession(SSHClientStreamSession[bytes]):
    """Standard output goes to a reader with flow control; of standard error the last bytes are kept, whoever listens."""

    def __init__(self, stderr_limit: int) -> None:
        """Keep so many bytes of standard error."""
        super().__init__()
        self.stderr = bytearray()
        self.ending = ""
        self._stderr_limit = stderr_limit
        self._heard = asyncio.Event()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Take a piece of either stream."""
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self.stderr += data
            if len(self.stderr) > self._stderr_limit:
                del self.stderr[: -self._stderr_limit]
            self._heard.set()
        else:
            super().data_received(data, datatype)

    async def until_stderr(self, holds: Callable[[bytes], bool]) -> None:
        """Wait until standard error is so; for ever, where it never is."""
        while not holds(bytes(self.stderr)):
            self._heard.clear()
            await self._heard.wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember why."""
        if exc is not None:
            self.ending = escaped(str(exc))
        super().connection_lost(exc)
