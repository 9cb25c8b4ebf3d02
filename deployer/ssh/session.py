"""An open connection to a host, and the commands that run on it."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from deployer.inventory import Host
from deployer.process import Completed
from deployer.ssh.errors import (
    BecomeRefused,
    ConnectionBroken,
    GateMissing,
    GateOnly,
    OutputTooLarge,
    RemoteCommandTimedOut,
    escaped,
)
from deployer.ssh.options import ConnectOptions

if TYPE_CHECKING:
    import asyncssh

    from deployer.ssh.becoming import Becoming
    from deployer.ssh.streams import ByteSession

GATE: Final = "deployer-gate"
"""All that is asked of a host whose `connection` has `gate`. The key's line in authorized_keys there knows this word."""
STDERR_TAIL: Final = 64 << 10
"""Bytes of standard error that a channel keeps, the last ones."""
MAX_OUTPUT: Final = 64 << 20
"""Bytes that `Session.run` takes from a command, of either stream."""
MAX_LINE: Final = 64 << 10
_PIECE: Final = 1 << 16
_SUDO_REFUSES: Final = re.compile(r"(?m)^sudo: |sudo: (?:command )?not found")


async def connect(host: Host, options: ConnectOptions = ConnectOptions()) -> Session:  # noqa: B008
    """A connection to a host, through its jump hosts. Raises the errors of `deployer.ssh`."""
    from deployer.ssh.dialing import dial

    return Session(host, await dial(host, options), options)


class Session:
    """One connection. Close it, or use it in `async with`."""

    def __init__(self, host: Host, connections: Sequence[asyncssh.SSHClientConnection], options: ConnectOptions) -> None:
        """Use `connect`. `connections` are those to the jump hosts, and to the host itself at the end."""
        self.host = host
        self._connections = connections
        self._options = options

    @property
    def user(self) -> str:
        """The login on the host."""
        return str(self._connections[-1].get_extra_info("username"))

    async def open(self, command: str, *, stderr_limit: int = STDERR_TAIL) -> Channel:
        """Start a command (with `become`: as root) and speak with it."""
        from deployer.ssh.streams import ByteSession

        line, becoming = self._line_for(command)
        limit = self._options.open_timeout
        try:
            with _broken(self.host.name):
                async with asyncio.timeout(limit):
                    chan, session = await self._connections[-1].create_session(
                        lambda: ByteSession(stderr_limit), line, encoding=None, request_pty=False
                    )
        except TimeoutError:
            raise ConnectionBroken(self.host.name, f"it opened no channel within {limit:g} s") from None
        assert isinstance(session, ByteSession)
        channel = Channel(self.host, self.user, chan, session)
        if becoming is not None:
            await becoming.carry_out(channel)
        return channel

    def _line_for(self, command: str) -> tuple[str, Becoming | None]:
        """What the login's shell is given for a command, and how it becomes root then. Raises `GateOnly`."""
        connection, password = self.host.connection, self._options.become_password
        if connection.gate:
            if command != GATE:
                raise GateOnly(self.host.name, escaped(command, 200))
            return command, None
        if not connection.become:
            return command, None
        if password is None:
            return f"sudo -n -H -- sh -c {shlex.quote(command)}", None
        from deployer.ssh.becoming import Becoming

        becoming = Becoming(self.host.name, self.user, password)
        return becoming.command(command), becoming

    async def run(self, command: str, *, stdin: bytes = b"", timeout: float) -> Completed:
        """Run a command to its end. Raises `RemoteCommandTimedOut`, `BecomeRefused`, `OutputTooLarge`, `ConnectionBroken`."""
        try:
            async with asyncio.timeout(timeout), self._opened(command) as channel:
                return await _complete(channel, command, stdin)
        except TimeoutError:
            raise RemoteCommandTimedOut(self.host.name, escaped(command, 200), timeout) from None

    @asynccontextmanager
    async def _opened(self, command: str) -> AsyncIterator[Channel]:
        channel = await self.open(command, stderr_limit=MAX_OUTPUT)
        try:
            yield channel
        finally:
            channel.close()

    async def close(self) -> None:
        """End the connection, and those to the jump hosts."""
        for connection in reversed(self._connections):
            connection.close()
            try:
                async with asyncio.timeout(self._options.close_timeout):
                    await connection.wait_closed()
            except TimeoutError:
                connection.abort()

    async def __aenter__(self) -> Session:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()


class Channel:
    """One running command: bytes in, bytes out, and its end. Reads and writes may be done by two tasks."""

    def __init__(self, host: Host, user: str, chan: asyncssh.SSHClientChannel[bytes], session: ByteSession) -> None:
        """Use `Session.open`."""
        import asyncssh

        self._host = host
        self._user = user
        self._chan = chan
        self._session = session
        self._reader: asyncssh.SSHReader[bytes] = asyncssh.SSHReader(session, chan)
        self._writer: asyncssh.SSHWriter[bytes] = asyncssh.SSHWriter(session, chan)
        self._spoke = False

    def write(self, data: bytes) -> None:
        """Send to the command's standard input; `drain` says when to go on."""
        with _broken(self._host.name):
            self._writer.write(data)

    async def drain(self) -> None:
        """Wait until more may be written."""
        with _broken(self._host.name):
            await self._writer.drain()

    def write_eof(self) -> None:
        """End the command's standard input."""
        with suppress(OSError):  # the command has ended already
            self._writer.write_eof()

    async def read(self, limit: int = _PIECE) -> bytes:
        """At most `limit` bytes, as soon as there are any; none at the end."""
        with _broken(self._host.name):
            data = await self._reader.read(limit)
        self._spoke = self._spoke or bool(data)
        return data

    async def readexactly(self, size: int) -> bytes:
        """Exactly so many bytes; fewer only at the end."""
        with _broken(self._host.name):
            try:
                data = await self._reader.readexactly(size)
            except asyncio.IncompleteReadError as error:
                data = error.partial
        self._spoke = self._spoke or bool(data)
        return data

    async def readline(self) -> bytes:
        """One line with its newline; what is left, or nothing, at the end. Raises `OutputTooLarge` for an endless line."""
        with _broken(self._host.name):
            line = await self._reader.readline()
        self._spoke = self._spoke or bool(line)
        if len(line) > MAX_LINE:
            raise OutputTooLarge(self._host.name, "a line of its answer", MAX_LINE)
        return line

    @property
    def stderr(self) -> bytes:
        """The last bytes of standard error, as many as are kept."""
        return bytes(self._session.stderr)

    @property
    def stderr_tail(self) -> str:
        """The last of standard error as text. It is the host's: escape it before it is shown."""
        return self.stderr[-STDERR_TAIL:].decode(errors="replace")

    async def until_stderr(self, holds: Callable[[bytes], bool]) -> None:
        """Wait until standard error is so; for ever, where it never is."""
        await self._session.until_stderr(holds)

    def unsay(self, *words: bytes) -> None:
        """Take words out of what standard error has so far: a prompt, and what must be shown to nobody."""
        for word in words:
            self._session.stderr[:] = self._session.stderr.replace(word, b"")

    def begun(self) -> None:
        """What was said so far was sudo's: the command begins here."""
        self._session.stderr.clear()
        self._spoke = False

    async def wait(self) -> int:
        """The command's status; 128 and the signal's number where one ended it.

        Raises `BecomeRefused` where it was sudo that ended, `GateMissing`, and `ConnectionBroken` where the status never came.
        """
        await self._chan.wait_closed()
        status = self._chan.get_returncode()
        if status is None:
            raise ConnectionBroken(self._host.name, self._session.ending or "it ended without the command's status")
        connection = self._host.connection
        if not self._spoke and connection.gate:
            raise GateMissing(self._host.name, self._user, escaped(self.stderr_tail))
        if not self._spoke and connection.become and status in {1, 127} and _SUDO_REFUSES.search(self.stderr_tail):
            raise BecomeRefused(self._host.name, self._user, escaped(self.stderr_tail))
        return status if status >= 0 else 128 - status

    def close(self) -> None:
        """Give the command up: its standard streams are closed."""
        self._chan.close()


async def _complete(channel: Channel, command: str, stdin: bytes) -> Completed:
    async def send() -> None:
        with suppress(ConnectionBroken):  # a command need not read its input; if the connection broke, reading says so
            for at in range(0, len(stdin), _PIECE):
                channel.write(stdin[at : at + _PIECE])
                await channel.drain()
        channel.write_eof()

    sender = asyncio.create_task(send())
    try:
        output = bytearray()
        while data := await channel.read(_PIECE):
            output += data
            if len(output) > MAX_OUTPUT:
                raise OutputTooLarge(channel._host.name, escaped(command, 200), MAX_OUTPUT)
        status = await channel.wait()
        return Completed((command,), status, bytes(output), channel.stderr)
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)


@contextmanager
def _broken(host: str) -> Iterator[None]:
    """Make one error of all the ways in which a connection ends."""
    import asyncssh

    try:
        yield
    except asyncssh.ChannelOpenError as error:
        raise ConnectionBroken(host, f"it opened no channel: {escaped(error.reason)}") from None
    except (asyncssh.Error, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise ConnectionBroken(host, escaped(str(error)) or "the host closed it") from None
