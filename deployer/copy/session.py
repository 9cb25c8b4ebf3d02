"""A conversation with one host: its state at once, its runtime when there is something to ask."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from deployer.copy.bootstrap import COMMAND, KIT_REFUSED, NOT_ROOT, NOTHING, PYTHON, READY, SEND
from deployer.copy.errors import (
    ConversationBroken,
    KitRefused,
    NotRoot,
    PythonMissing,
    PythonNotSent,
    PythonUnfit,
    refusal,
)
from deployer.copy.interpreter import Interpreter
from deployer.errors import DeployerError, JsonValue
from deployer.formats.frames import DATA_KIND, Frame, FrameDecoder, FrameRefused, encode_document
from deployer.formats.messages import (
    Action,
    Activation,
    CheckResult,
    DriftItem,
    Generation,
    GenerationDifference,
    HostFacts,
    HostStatus,
    Outcome,
    Plan,
)
from deployer.formats.messages import Collection as Removed
from deployer.formats.state import StateLine
from deployer.inventory import Host
from deployer.ssh import GATE, Channel, Session
from deployer.ssh.errors import escaped

REQUEST_TIMEOUT: Final = 120.0
"""Seconds without a word from the host before a request is given up. An activation sends an event at least this often."""
OPENING_TIMEOUT: Final = 30.0
"""Seconds for the script's first lines."""
KIT_TIMEOUT: Final = 300.0
"""Seconds until a Python that is sent to a host must run there."""
_PIECE: Final = 1 << 16

EventSink = Callable[[Mapping[str, JsonValue]], None]
"""Takes the `event` objects of a request as they come."""
InterpreterFor = Callable[[str], Awaitable[Interpreter]]
"""Has the Python for a kind of machine, as `uname -m` names it."""


@dataclass(frozen=True, slots=True)
class RuntimeImage:
    """The host runtime as the controller has it."""

    path: str
    """In the store, on every machine."""
    image: bytes
    """A zip file of the same, for hosts that lack it."""


class HostSession:
    """One SSH connection and one exec channel to a host. Not for use by two tasks at once."""

    def __init__(
        self,
        host: Host,
        session: Session,
        channel: Channel,
        state: StateLine,
        runtime: Callable[[], RuntimeImage],
        interpreter: InterpreterFor | None = None,
    ) -> None:
        """Use `open_session`."""
        self.host = host
        self.state = state
        self._session = session
        self._channel = channel
        self._runtime = runtime
        self._interpreter = interpreter
        self._brought: Interpreter | None = None
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []
        self._started = False
        self._next_id = 0

    async def hello(self) -> HostFacts:
        """What the host is."""
        return HostFacts.from_document(await self.request("hello"))

    async def missing(self, paths: Collection[str], files: Collection[str] = ()) -> tuple[set[str], set[str]]:
        """Which of the store paths the host lacks, and which of the files (by hash) it holds."""
        answer = await self.request("missing", paths=[*sorted(paths)], files=[*sorted(files)])
        return _strings(answer, "missing") & set(paths), _strings(answer, "held") & set(files)

    async def plan(self, system: str, manifest: bytes, *, repair: bool = False, generation: int = 0) -> Plan:
        """What activating a system would do. `generation`: the earlier one that it is to become again; 0: a new one."""
        text = manifest.decode()
        answer = await self.request("plan", system=system, manifest=text, repair=repair, generation=generation)
        return Plan.from_document(answer)

    async def activate(self, activation: Activation, on_event: EventSink, *, silence: float = REQUEST_TIMEOUT) -> Outcome:
        """Make a system current, up to the point where the host waits for its confirmation or has gone back."""
        if self._brought is not None:
            await self.adopt(self._brought)
        number = await self._begin("activate", activation.to_document())
        return Outcome.from_document(await self._answer("activate", number, on_event, silence))

    async def adopt(self, interpreter: Interpreter) -> None:
        """Have the host keep a Python that it was sent, and run all of ours by it from now on."""
        await self.request("adopt", path=interpreter.path, nar_hash=interpreter.nar_hash, nar_size=interpreter.nar_size)

    async def attach(self, transaction: str, on_event: EventSink, *, silence: float = REQUEST_TIMEOUT) -> Outcome:
        """Follow an activation that was begun over another connection."""
        number = await self._begin("attach", {"transaction": transaction})
        return Outcome.from_document(await self._answer("attach", number, on_event, silence))

    async def confirm(self, transaction: str, token: str) -> Outcome:
        """Make the healthy system permanent. Only a fresh connection may do this."""
        return Outcome.from_document(await self.request("confirm", transaction=transaction, token=token))

    async def cancel(self, transaction: str) -> Outcome:
        """Have the host go back now."""
        return Outcome.from_document(await self.request("cancel", transaction=transaction))

    async def manifest(self, system: str) -> bytes:
        """The manifest of a system that is on the host."""
        text = (await self.request("manifest", system=system)).get("manifest")
        if not isinstance(text, str):
            raise FrameRefused("an answer lacks its text `manifest`")
        return text.encode()

    async def status(self) -> HostStatus:
        """How the host stands."""
        return HostStatus.from_document(await self.request("status"))

    async def check(self) -> tuple[CheckResult, ...]:
        """Run the current generation's health checks once."""
        return tuple(CheckResult.from_document(item) for item in _items(await self.request("check"), "checks"))

    async def observe(self, ignore: Collection[str] = ()) -> tuple[DriftItem, ...]:
        """Where the host differs from what its current generation declares."""
        answer = await self.request("observe", ignore=[*sorted(ignore)])
        return tuple(DriftItem.from_document(item) for item in _items(answer, "drift"))

    async def generations(self) -> tuple[Generation, ...]:
        """All generations with their sizes, oldest first."""
        return tuple(Generation.from_document(item) for item in _items(await self.request("generations"), "generations"))

    async def compare(self, before: int, after: int) -> GenerationDifference:
        """What differs between two generations."""
        return GenerationDifference.from_document(await self.request("compare", before=before, after=after))

    async def pin(self, generation: int, *, pinned: bool) -> None:
        """Keep a generation until it is unpinned, or no longer."""
        await self.request("pin", generation=generation, pinned=pinned)

    async def delete(self, generations: Collection[int], *, dry_run: bool) -> Removed:
        """Remove generations, and what only they kept."""
        numbers: list[JsonValue] = [str(number) for number in sorted(generations)]
        return Removed.from_document(await self.request("delete", generations=numbers, dry_run=dry_run))

    async def collect(self, *, dry_run: bool, keep: int | None = None, keep_for: int | None = None) -> Removed:
        """Remove the generations that the policy does not keep, and what nothing needs."""
        instead = {key: value for key, value in (("keep", keep), ("keep_for", keep_for)) if value is not None}
        return Removed.from_document(await self.request("collect", None, dry_run=dry_run, **instead))

    async def uninstall(self, *, dry_run: bool, discard_kept: bool = False) -> tuple[Action, ...]:
        """Leave the host as it was before us; `discard_kept`: what people wrote by hand in files of ours goes too."""
        answer = await self.request("uninstall", dry_run=dry_run, discard_kept=discard_kept)
        return tuple(Action.from_document(item) for item in _items(answer, "actions"))

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

    async def __aenter__(self) -> HostSession:
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
            raise await _why_it_ended(self.host, self._channel, "serve", answer)
        self._started = True

    async def _bring(self, machine: str, lacks: str = NOTHING) -> Interpreter:
        """The Python for this host. Raises `PythonMissing`, `PythonUnfit`, and `PythonNotSent` where ours can't be had."""
        name = self.host.name
        own = PythonMissing(name) if lacks == NOTHING else PythonUnfit(name, escaped(lacks, 40))
        if self._interpreter is None:
            raise own
        try:
            return await self._interpreter(machine)
        except DeployerError as error:
            raise PythonNotSent(name, own.message, escaped(machine, 40), error) from error

    async def _line(self, seconds: float) -> str:
        try:
            async with asyncio.timeout(seconds):
                await self._channel.drain()
                return (await self._channel.readline()).decode(errors="replace").strip()
        except TimeoutError:
            raise ConversationBroken(self.host.name, "serve", f"silent for {seconds:g} s") from None

    async def _answer(
        self,
        verb: str,
        number: int,
        on_event: EventSink | None,
        silence: float = REQUEST_TIMEOUT,
        take: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> dict[str, JsonValue]:
        while True:
            frame = await self._frame(verb, silence)
            if take is not None and frame.kind == DATA_KIND:
                await take(frame.payload)
                continue
            document = frame.document()
            if document.get("id") != number:
                raise FrameRefused(f"an answer to another request than `{verb}` came")
            match document:
                case {"event": dict(event)}:
                    if on_event is not None:
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
                raise ConversationBroken(self.host.name, verb, f"silent for {silence:g} s") from None
            if not data:
                raise await _why_it_ended(self.host, self._channel, verb, "")
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)


async def open_session(
    connecting: Awaitable[Session], runtime: Callable[[], RuntimeImage], interpreter: InterpreterFor | None = None
) -> HostSession:
    """Learn a host's state over a connection: one round trip after the handshake, and no Python started there.

    `interpreter` is asked once the host has something to do, and no Python to do it with.
    Raises the errors of `deployer.ssh`, `NotRoot`, and `FrameRefused` where a shell start-up file talks.
    """
    session = await connecting
    host = session.host
    try:
        channel = await session.open(GATE if host.connection.gate else COMMAND)
        try:
            async with asyncio.timeout(OPENING_TIMEOUT):
                line = await channel.readline()
        except TimeoutError:
            raise ConversationBroken(host.name, "state", f"silent for {OPENING_TIMEOUT:g} s") from None
        if not line:
            raise await _why_it_ended(host, channel, "state", "")
        return HostSession(host, session, channel, StateLine.parse(line.decode(errors="replace")), runtime, interpreter)
    except FrameRefused as error:
        await session.close()
        raise FrameRefused(error.reason, host.name) from None
    except BaseException:
        await session.close()
        raise


def token_digest(token: str) -> str:
    """What a host is told of a confirmation's token beforehand (hexadecimal SHA-256)."""
    return hashlib.sha256(token.encode()).hexdigest()


async def _why_it_ended(host: Host, channel: Channel, doing: str, answer: str) -> Exception:
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
    return ConversationBroken(host.name, doing, words[-400:])


def _strings(answer: Mapping[str, JsonValue], key: str) -> set[str]:
    return {item for item in _items(answer, key) if isinstance(item, str)}


def _items(answer: Mapping[str, JsonValue], key: str) -> list[JsonValue]:
    items = answer.get(key)
    if not isinstance(items, list):
        raise FrameRefused(f"an answer lacks its list `{key}`")
    return items
