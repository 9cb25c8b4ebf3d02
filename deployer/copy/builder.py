"""A conversation with a machine that builds: `deployer.formats.building` has its verbs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Final

from deployer.copy.bootstrap import BUILDER_COMMAND
from deployer.copy.closure import ClosureSender
from deployer.copy.conversation import Conversation, RuntimeImage, strings_of
from deployer.copy.errors import BuilderLost
from deployer.errors import DeployerError
from deployer.formats.building import BuildEnding, BuilderFacts, BuildOrder, Made
from deployer.formats.frames import encode_document
from deployer.inventory import Host
from deployer.ssh import Channel, Session
from deployer.store import Store

PATIENCE: Final = 60.0
"""Seconds without a word from us after which a builder ends what it does; and we, of a builder that builds."""
_BEATS: Final = 6
"""How often we say something in that time."""
_FAREWELL: Final = 10.0
"""Seconds for a build that was called off to end."""


class BuilderSession(Conversation):
    """One connection to a builder, for one build after another."""

    broken = BuilderLost
    longest_answer = 1 << 40
    """Its answers hold the logs of builds, which have a limit of their own."""

    def __init__(
        self, host: Host, session: Session, channel: Channel, runtime: Callable[[], RuntimeImage], patience: float = PATIENCE
    ) -> None:
        """Use `open_builder`."""
        super().__init__(host, session, channel, runtime)
        self._patience = patience
        self._facts: BuilderFacts | None = None
        self._beating: asyncio.Task[None] | None = None

    async def hello(self) -> BuilderFacts:
        """What it is; asked once. From now on it is told regularly that we are here."""
        if self._facts is None:
            patience = max(round(self._patience), 1)
            self._facts = BuilderFacts.from_document(await self.request("hello", patience=patience))
            self._beating = asyncio.create_task(self._beat())
        return self._facts

    async def compressions(self) -> Collection[str]:
        """What it can decompress."""
        return (await self.hello()).compressions

    async def probe(self, bubblewrap: str) -> None:
        """Have a sandbox tried there, with the bubblewrap of a store path that was sent, or with its own."""
        await self.request("probe", bubblewrap=bubblewrap)

    async def missing(self, paths: Collection[str], files: Collection[str] = ()) -> tuple[set[str], set[str]]:
        """Which of the store paths it lacks, and which of the files (by hash) it holds; it keeps these paths for us."""
        answer = await self.request("missing", paths=[*sorted(paths)], files=[*sorted(files)])
        return strings_of(answer, "missing") & set(paths), strings_of(answer, "held") & set(files)

    async def send(self, store: Store, paths: Collection[str]) -> None:
        """Bring paths there, and all that they refer to, just as they are here."""
        closure = {str(path): store.query(path) for path in store.closure(paths)}
        await self.request("differing", hashes={path: info.nar_hash for path, info in closure.items()})
        missing, _ = await self.missing(closure)
        if not missing:
            return
        await self.request("room", bytes=sum(closure[path].nar_size for path in missing))
        sender = ClosureSender(store)
        try:
            await sender.send_all(self, paths)
        finally:
            sender.close()

    async def build(self, order: BuildOrder, on_output: Callable[[bytes], Awaitable[None]]) -> BuildEnding:
        """Have a script run. On cancellation it has ended there, if the builder can be reached at all."""
        number = await self._begin("build", order.to_document())
        try:
            answer = await self._answer("build", number, None, self._patience, take=on_output)
        except asyncio.CancelledError:
            await asyncio.shield(self._call_off(number))
            raise
        return BuildEnding.from_document(answer)

    async def export(self, outputs: Sequence[str], take: Callable[[bytes], Awaitable[None]]) -> None:
        """Get what was built: NARs one after another, compressed by zlib."""
        await self.receive("export", take, outputs=[*outputs])

    async def adopt(self, made: Sequence[Made]) -> None:
        """Have what was built be valid there."""
        await self.request("adopt", made=[one.to_document() for one in made])

    async def close(self) -> None:
        """End the conversation and the connection."""
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        await super().close()

    async def _call_off(self, number: int) -> None:
        async def drop(_: bytes) -> None:
            """Nobody reads it any more."""

        with suppress(DeployerError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                self._channel.write(encode_document({"verb": "cancel"}))
                await self._answer("build", number, None, take=drop)

    async def _beat(self) -> None:
        with suppress(DeployerError):  # Whoever waits for an answer is told.
            while True:
                await asyncio.sleep(self._patience / _BEATS)
                self._channel.write(encode_document({"verb": "beat"}))


async def open_builder(
    connecting: Awaitable[Session], runtime: Callable[[], RuntimeImage], *, patience: float = PATIENCE
) -> BuilderSession:
    """A conversation over a connection. `patience`: seconds without a word after which each side counts the other as lost.

    Raises the errors of `deployer.ssh`, `PythonMissing`, `PythonUnfit`, `BuilderLost`.
    """
    session = await connecting
    try:
        channel = await session.open(BUILDER_COMMAND)
        builder = BuilderSession(session.host, session, channel, runtime, patience)
        await builder.hello()
    except BaseException:
        await session.close()
        raise
    return builder
