"""A conversation with the runtime on another machine: requests, answers, streams, over one exec channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from deployer.copy.bootstrap import KIT_REFUSED, NOT_ROOT, NOTHING, PYTHON, READY, SEND
from deployer.copy.errors import (
    ConversationBroken,
    KitRefused,
    NotRoot,
    PythonMissing,
    PythonNotSent,
    PythonUnfit,
    refusal,
)
from deployer.copy.interpreter import Interpreter, InterpreterSource
from deployer.errors import DeployerError, JsonValue
from deployer.formats.frames import DATA_KIND, HEADER_SIZE, Frame, FrameDecoder, FrameRefused, encode_document
from deployer.formats.messages import ALIVE
from deployer.inventory import Host
from deployer.ssh import Channel, Session
from deployer.ssh.errors import escaped

REQUEST_TIMEOUT: Final = 120.0
"""Seconds without a word from the host before a request is given up. An activation sends an event at least this often."""
OPENING_TIMEOUT: Final = 30.0
"""Seconds for the script's first lines."""
KIT_TIMEOUT: Final = 300.0
"""Seconds until a Python that is sent to a host must run there."""
MAX_ANSWER: Final = 128 << 20
"""Bytes of documents that a host may answer one request with, events among them: one that talks for ever is not listened to."""
_PIECE: Final = 1 << 16

EventSink = Callable[[Mapping[str, JsonValue]], None]
"""Takes the `event` objects of a request as they come."""


@dataclass(frozen=True, slots=True)
class RuntimeImage:
    """The host runtime as the controller has it."""

    path: str
    """In the store, on every machine."""
    image: bytes
    """A zip file of the same, for hosts that lack it."""


class Conversation:
    """One SSH connection and one exec channel. Not for use by two tasks at once."""

    broken: type[ConversationBroken] = ConversationBroken
    """What is raised where it ends before its time."""
    longest_answer: int = MAX_ANSWER

    def __init__(
        self,
        host: Host,
        session: Session,
        channel: Channel,
        runtime: Callable[[], RuntimeImage],
        interpreters: InterpreterSource | None = None,
    ) -> None:
        """`channel` runs a script of `deployer.copy.bootstrap`, which waits for `serve`."""
        self.host = host
        self._session = session
        self._channel = channel
        self._runtime = runtime
        self._interpreters = interpreters
        self._brought: Interpreter | None = None
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []
        self._started = False
        self._next_id = 0

    async def request(self, verb: str, on_event: EventSink | None = None, /, **parameters: JsonValue) -> dict[str, JsonValue]:
        """One request and its answer. Raises `HostRefused` and `ConversationBroken`."""
        number = await self._begin(verb, parameters)
        return await self._answer(verb, number, on_event)

    async def stream(
        self, verb: str, pieces: AsyncIterator[bytes], on_event: EventSink | None = None, /, **parameters: JsonValue
    ) -> dict[str, JsonValue]:
        """A request that is followed by a stream of frames. The answer is awaited while the stream is still under way."""
        number = await self._begin(verb, parameters)

        async def send() -> None:
            async for piece in pieces:
                self._channel.write(piece)
                await self._channel.drain()

        sender = asyncio.create_task(send())
        try:
            return await self._answer(verb, number, on_event)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def receive(
        self, verb: str, take: Callable[[bytes], Awaitable[None]], /, **parameters: JsonValue
    ) -> dict[str, JsonValue]:
        """A request that a stream of frames answers before its result comes; `take` gets the pieces."""
        number = await self._begin(verb, parameters)
        return await self._answer(verb, number, None, take=take)

    async def close(self) -> None:
        """End the conversation and the connection."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def _begin(self, verb: str, parameters: Mapping[str, JsonValue]) -> int:
        if not self._started:
            await self._start()
        self._next_id += 1
        self._channel.write(encode_document({"id": self._next_id, "verb": verb, **parameters}))
        await self._channel.drain()
        return self._next_id

    async def _start(self) -> None:
        runtime = self._runtime()
        self._channel.write(f"serve {runtime.path} {len(runtime.image)}\n".encode())
        answer = await self._line(OPENING_TIMEOUT)
        if answer.startswith(PYTHON + " "):
            self._brought = await self._bring(*answer.split(" ")[1:3])
            self._channel.write(f"kit {len(self._brought.kit)}\n".encode() + self._brought.kit)
            answer = await self._line(KIT_TIMEOUT)
        if answer == SEND:
            self._channel.write(runtime.image)
            await self._channel.drain()
        elif answer != READY:
            raise await why_it_ended(self.host, self._channel, "serve", answer, self.broken)
        self._started = True

    async def _bring(self, machine: str, lacks: str = NOTHING) -> Interpreter:
        """The Python for this host. Raises `PythonMissing`, `PythonUnfit`, and `PythonNotSent` where ours can't be had."""
        name = self.host.name
        own = PythonMissing(name) if lacks == NOTHING else PythonUnfit(name, escaped(lacks, 40))
        if self._interpreters is None:
            raise own
        try:
            return await self._interpreters(machine)
        except DeployerError as error:
            raise PythonNotSent(name, own.message, escaped(machine, 40), error) from error

    async def _line(self, seconds: float) -> str:
        try:
            async with asyncio.timeout(seconds):
                await self._channel.drain()
                return (await self._channel.readline()).decode(errors="replace").strip()
        except TimeoutError:
            raise self.broken(self.host.name, "serve", f"silent for {seconds:g} s") from None

    async def _answer(
        self,
        verb: str,
        number: int,
        on_event: EventSink | None,
        silence: float = REQUEST_TIMEOUT,
        take: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> dict[str, JsonValue]:
        said = 0
        while True:
            frame = await self._frame(verb, silence)
            if take is not None and frame.kind == DATA_KIND:
                await take(frame.payload)
                continue
            said += len(frame.payload) + HEADER_SIZE
            if said > self.longest_answer:
                raise FrameRefused(f"the answer to `{verb}` is longer than {self.longest_answer >> 20} MiB", self.host.name)
            document = frame.document()
            if document.get("id") != number:
                raise FrameRefused(f"an answer to another request than `{verb}` came")
            match document:
                case {"event": dict(event)}:
                    if on_event is not None and event != ALIVE:
                        on_event(event)
                case {"ok": dict(answer)}:
                    return answer
                case {"error": dict(error)}:
                    raise refusal(self.host.name, error)
                case _:
                    raise FrameRefused(f"the answer to `{verb}` is neither an event, nor a result, nor an error")

    async def _frame(self, verb: str, silence: float) -> Frame:
        while not self._frames:
            try:
                async with asyncio.timeout(silence):
                    data = await self._channel.read(_PIECE)
            except TimeoutError:
                raise self.broken(self.host.name, verb, f"silent for {silence:g} s") from None
            if not data:
                raise await why_it_ended(self.host, self._channel, verb, "", self.broken)
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)


async def why_it_ended(
    host: Host, channel: Channel, doing: str, answer: str, broken: type[ConversationBroken] = ConversationBroken
) -> DeployerError:
    """The error for a script, or a runtime, that ended: by its status, else by its last words."""
    try:
        async with asyncio.timeout(OPENING_TIMEOUT):
            status = await channel.wait()
    except TimeoutError:
        status = -1
    words = answer or channel.stderr_tail.strip()
    if status == NOT_ROOT:
        return NotRoot(host.name, host.connection.user or "")
    if status == KIT_REFUSED:
        return KitRefused(host.name, escaped(words))
    return broken(host.name, doing, words[-400:])


def strings_of(answer: Mapping[str, JsonValue], key: str) -> set[str]:
    """A list of texts of an answer, as a set. Raises `FrameRefused`."""
    return {item for item in items_of(answer, key) if isinstance(item, str)}


def items_of(answer: Mapping[str, JsonValue], key: str) -> list[JsonValue]:
    """A list of an answer. Raises `FrameRefused`."""
    items = answer.get(key)
    if not isinstance(items, list):
        raise FrameRefused(f"an answer lacks its list `{key}`")
    return items
