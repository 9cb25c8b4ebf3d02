"""Becoming root by sudo with a password: asked for once, proved on one host before any other is told it, and shown nowhere.

sudo prints its prompt, in which we put a random marker, to standard error, and reads the password from standard input; what
follows there is the command's. The command's first word on standard output is a marker too: so a prompt is told from a slow
command, and from a sudo that asks for nothing.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deployer.ssh.errors import BecomePasswordWrong, BecomeSilent, escaped

if TYPE_CHECKING:
    from deployer.ssh.session import Channel

SUDO_TIMEOUT: Final = 30.0
"""Seconds for sudo to ask, and to judge an answer."""


class BecomePassword:
    """A password that sudo may ask for, on any host of this run."""

    def __init__(self, value: str) -> None:
        """`value` is one line, without its end."""
        self._value = value
        self._turn = asyncio.Lock()
        self._is_right = False
        self._is_wrong = False

    def __repr__(self) -> str:
        """Without the password."""
        return "BecomePassword(…)"

    def __reduce__(self) -> str:
        """It is not to be pickled, nor copied."""
        raise TypeError("a password is not to be written down")

    @asynccontextmanager
    async def offered(self, host: str, user: str) -> AsyncIterator[Offer]:
        """The password, for one host. Until a host has taken it, hosts wait for each other; once one refused it, none is told."""
        if not self._is_right:
            async with self._turn:
                if self._is_wrong:
                    raise BecomePasswordWrong(host, user, elsewhere=True)
                if not self._is_right:
                    offer = Offer(f"{self._value}\n".encode())
                    yield offer
                    self._is_right, self._is_wrong = offer.taken, offer.refused
                    return
        yield Offer(f"{self._value}\n".encode())


@dataclass(slots=True)
class Offer:
    """What becomes of a password at one host."""

    line: bytes
    taken: bool = False
    refused: bool = False

    def __repr__(self) -> str:
        """Without the password."""
        return f"Offer(taken={self.taken}, refused={self.refused})"


class Becoming:
    """One command that is to run as root."""

    def __init__(self, host: str, user: str, password: BecomePassword) -> None:
        """`user` becomes root on `host`."""
        self._host, self._user, self._password = host, user, password
        self._prompt = f"[deployer-{secrets.token_hex(8)}] "
        self._begun = f"deployer-{secrets.token_hex(8)}"

    def command(self, command: str) -> str:
        """What the login's shell is given."""
        inner = f"echo {self._begun}; {command}"
        return f"LC_ALL=C sudo -H -S -p {shlex.quote(self._prompt)} -- sh -c {shlex.quote(inner)}"

    async def carry_out(self, channel: Channel) -> None:
        """Answer sudo until the command has begun. Raises `BecomePasswordWrong`, `BecomeSilent`, `BecomeRefused`."""
        line = asyncio.create_task(channel.readline())
        try:
            if await self._prompted(channel, line, 1):
                async with self._password.offered(self._host, self._user) as offer:
                    channel.write(offer.line)
                    try:
                        offer.refused = await self._prompted(channel, line, 2)
                        offer.taken = not offer.refused and await self._has_begun(line)
                    finally:
                        channel.unsay(self._prompt.encode(), offer.line.rstrip(b"\n"))
                        offer.line = b""
                if offer.refused:
                    raise BecomePasswordWrong(self._host, self._user)
            if not await self._has_begun(line):
                await channel.wait()  # says what sudo said
                raise BecomeSilent(self._host, self._user, escaped(channel.stderr_tail))
            channel.begun()
        except BaseException:
            channel.close()
            raise
        finally:
            line.cancel()
            await asyncio.gather(line, return_exceptions=True)

    async def _prompted(self, channel: Channel, line: asyncio.Task[bytes], times: int) -> bool:
        """Whether sudo asks, for the n-th time; not where the command begins, or all ends, instead."""
        asks = asyncio.create_task(channel.until_stderr(lambda said: said.count(self._prompt.encode()) >= times))
        try:
            done, _ = await asyncio.wait({line, asks}, timeout=SUDO_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise BecomeSilent(self._host, self._user, escaped(channel.stderr_tail))
            return line not in done
        finally:
            asks.cancel()
            await asyncio.gather(asks, return_exceptions=True)

    async def _has_begun(self, line: asyncio.Task[bytes]) -> bool:
        return line.done() and (await line).strip() == self._begun.encode()
