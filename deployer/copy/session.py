"""A conversation with one host: its state at once, its runtime when there is something to ask."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from deployer.copy.bootstrap import COMMAND
from deployer.copy.conversation import (
    OPENING_TIMEOUT,
    REQUEST_TIMEOUT,
    Conversation,
    EventSink,
    RuntimeImage,
    items_of,
    strings_of,
    why_it_ended,
)
from deployer.copy.errors import ConversationBroken
from deployer.copy.interpreter import Interpreter, InterpreterSource
from deployer.errors import JsonValue
from deployer.formats.frames import FrameRefused
from deployer.formats.goals import Goal
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

CHECKS_TIMEOUT: Final = 180.0
"""Seconds without a word while health checks run: one attempt of each may take two minutes."""


class HostSession(Conversation):
    """One SSH connection and one exec channel to a host. Not for use by two tasks at once."""

    def __init__(
        self,
        host: Host,
        session: Session,
        channel: Channel,
        state: StateLine,
        runtime: Callable[[], RuntimeImage],
        interpreters: InterpreterSource | None = None,
    ) -> None:
        """Use `open_session`."""
        super().__init__(host, session, channel, runtime, interpreters)
        self.state = state
        self._facts: HostFacts | None = None

    async def hello(self) -> HostFacts:
        """What the host is."""
        self._facts = HostFacts.from_document(await self.request("hello"))
        return self._facts

    async def compressions(self) -> Collection[str]:
        """What it can decompress."""
        return (await self.hello()).compressions

    async def newer_interpreter(self) -> Interpreter | None:
        """What takes the place of the Python that the host was brought, where another is pinned by now."""
        facts = self._facts or await self.hello()
        source, brought = self._interpreters, facts.interpreter
        if source is None or not brought or source.path(facts.machine) == brought:
            return None
        return await source(facts.machine)

    async def missing(self, paths: Collection[str], files: Collection[str] = ()) -> tuple[set[str], set[str]]:
        """Which of the store paths the host lacks, and which of the files (by hash) it holds."""
        answer = await self.request("missing", paths=[*sorted(paths)], files=[*sorted(files)])
        return strings_of(answer, "missing") & set(paths), strings_of(answer, "held") & set(files)

    async def plan(
        self, system: str, manifest: bytes, *, repair: bool = False, generation: int = 0, goal: Goal = Goal.SWITCH
    ) -> Plan:
        """What activating a system would do. `generation`: the earlier one that it is to become again; 0: a new one."""
        text = manifest.decode()
        answer = await self.request("plan", system=system, manifest=text, repair=repair, generation=generation, goal=str(goal))
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

    async def cancel(self, transaction: str, reason: str = "") -> Outcome:
        """Have the host go back now."""
        return Outcome.from_document(await self.request("cancel", transaction=transaction, reason=reason))

    async def settle(self) -> None:
        """Have the host finish what nobody drives any more. Raises `HostRefused` (`HostBusy`) where somebody does."""
        await self.request("settle")

    async def push(self, system: str) -> bool:
        """Have a system that was copied kept, though it is not activated; whether it was not kept before."""
        return (await self.request("push", system=system)).get("held") is True

    async def reboot(self, transaction: str) -> None:
        """Have the host reboot into what was staged under this name."""
        await self.request("reboot", transaction=transaction)

    async def unstage(self) -> bool:
        """Take back what was staged; whether anything was."""
        return (await self.request("unstage")).get("unstaged") is True

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
        answer = await self._answer("check", await self._begin("check", {}), None, CHECKS_TIMEOUT)
        results = (CheckResult.from_document(item) for item in items_of(answer, "checks"))
        return tuple(dataclasses.replace(result, from_controller=False) for result in results)

    async def observe(self, ignore: Collection[str] = ()) -> tuple[DriftItem, ...]:
        """Where the host differs from what its current generation declares."""
        answer = await self.request("observe", ignore=[*sorted(ignore)])
        return tuple(DriftItem.from_document(item) for item in items_of(answer, "drift"))

    async def generations(self) -> tuple[Generation, ...]:
        """All generations with their sizes, oldest first."""
        return tuple(Generation.from_document(item) for item in items_of(await self.request("generations"), "generations"))

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
        return tuple(Action.from_document(item) for item in items_of(answer, "actions"))


async def open_session(
    connecting: Awaitable[Session], runtime: Callable[[], RuntimeImage], interpreters: InterpreterSource | None = None
) -> HostSession:
    """Learn a host's state over a connection: one round trip after the handshake, and no Python started there.

    `interpreters` are asked once the host has something to do, and no Python to do it with.
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
            raise await why_it_ended(host, channel, "state", "")
        return HostSession(host, session, channel, StateLine.parse(line.decode(errors="replace")), runtime, interpreters)
    except FrameRefused as error:
        await session.close()
        raise FrameRefused(error.reason, host.name) from None
    except BaseException:
        await session.close()
        raise


def token_digest(token: str) -> str:
    """What a host is told of a confirmation's token beforehand (hexadecimal SHA-256)."""
    return hashlib.sha256(token.encode()).hexdigest()
