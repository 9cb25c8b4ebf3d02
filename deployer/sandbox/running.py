"""Running one build script in a sandbox: what it prints, its limits, its end."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Awaitable, BinaryIO, Callable, Final, Protocol

from deployer.formats.building import LOG_LIMIT, SILENCE, TIMEOUT, BuildEnding
from deployer.sandbox.spec import SandboxSpec
from deployer.sandbox.waiting import readable

OnOutput = Callable[[bytes], Awaitable[None]]
"""Takes what a build prints, in pieces. While it waits, nothing more is read."""
_PIECE: Final = 1 << 16


@dataclass(frozen=True)
class RunLimits:
    """How long a build may run and be silent, and how much it may print."""

    timeout: float
    silence_timeout: float
    log_limit: int


class Running(Protocol):
    """A build in its sandbox."""

    @property
    def status(self) -> int:
        """How it ended: its exit status, or less than 0, the signal that killed it. Known when `ended` has said so."""
        ...

    async def ended(self, until: float) -> bool:
        """Wait until the builder has ended; false where it has not by this time of the loop's clock."""
        ...

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it is left."""
        ...

    async def kill(self) -> None:
        """End all of it, and wait until nothing of it is left."""
        ...


class Sandboxes(Protocol):
    """What makes sandboxes on this machine."""

    async def start(self, spec: SandboxSpec, output: int) -> Running:
        """Have a build run that prints to a descriptor. Where no sandbox can be made, that ends badly and prints why."""
        ...

    def close(self) -> None:
        """Let go of what is held. No build runs any more."""
        ...


async def run_in_sandbox(sandboxes: Sandboxes, spec: SandboxSpec, *, limits: RunLimits, on_output: OnOutput) -> BuildEnding:
    """Run a build to its end; when this returns or raises, no process of it is left, nor anything that it left running.

    Raises what `on_output` raises.
    """
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0) as reader:
        try:
            running = await sandboxes.start(spec, write_end)
        finally:
            os.close(write_end)
        try:
            stopped = await _watch(reader, limits, on_output, running)
        finally:
            if not running.is_gone:
                await asyncio.shield(running.kill())
    return BuildEnding(0 if stopped else running.status, stopped)


async def _watch(reader: BinaryIO, limits: RunLimits, on_output: OnOutput, running: Running) -> str:
    """Why it was stopped; empty where it ended by itself."""
    now = asyncio.get_running_loop().time
    end, left = now() + limits.timeout, limits.log_limit
    while True:
        silence_end = now() + limits.silence_timeout
        if not await readable(reader.fileno(), min(end, silence_end)):
            return SILENCE if silence_end < end else TIMEOUT
        data = reader.read(_PIECE)
        if not data:
            return "" if await running.ended(end) else TIMEOUT
        left -= len(data)
        if left < 0:
            return LOG_LIMIT
        await on_output(data)
