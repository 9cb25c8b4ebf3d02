"""Running one build script in the sandbox: what it prints, its limits, its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass
from typing import Awaitable, BinaryIO, Callable, Final, Optional, Sequence, Tuple

from deployer.formats.building import LOG_LIMIT, SILENCE, TIMEOUT, BuildEnding
from deployer.sandbox.bubblewrap import SandboxSpec, bubblewrap_options
from deployer.sandbox.network_scope import scoped
from deployer.sandbox.orphans import DESCRIPTOR
from deployer.sandbox.seccomp import sandbox_filter

OnOutput = Callable[[bytes], Awaitable[None]]
"""Takes what a build prints, in pieces. While it waits, nothing more is read."""
_PIECE: Final = 1 << 16


@dataclass(frozen=True)
class RunLimits:
    """How long a build may run and be silent, and how much it may print."""

    timeout: float
    silence_timeout: float
    log_limit: int


async def run_in_sandbox(bubblewrap: Sequence[str], spec: SandboxSpec, *, limits: RunLimits, on_output: OnOutput) -> BuildEnding:
    """Run a build to its end; when this returns or raises, no process of it is left, nor anything that it left running.

    `bubblewrap`: how that is started. Raises what `on_output` raises.
    """
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        reader, write_end = _pipe(ours, theirs)
        told, tell = _pipe(ours, theirs)
        blocked, start = os.pipe()
        theirs.callback(os.close, blocked)
        start_pipe = ours.enter_context(os.fdopen(start, "wb", buffering=0))
        passed = [tell, blocked]
        extra = ["--info-fd", str(tell), "--block-fd", str(blocked)]
        calls = sandbox_filter()
        if calls:
            passed.append(_descriptor_with(calls, theirs))
            extra += ["--seccomp", str(passed[-1])]
        etc = {name: _descriptor_with(text.encode(), theirs) for name, text in spec.etc_files.items()}
        passed += etc.values()
        options = [*extra, *bubblewrap_options(spec, etc)]
        passed.append(_descriptor_with(os.fsencode("".join(f"{option}\0" for option in options)), theirs))
        command = (*bubblewrap, "--args", str(passed[-1]), "--", spec.builder, *spec.arguments)
        process = _start(scoped(command) if spec.network else command, write_end, passed)
        theirs.close()
        async with _Namespace(process, told) as namespace:
            with contextlib.suppress(BrokenPipeError):
                start_pipe.write(b"\0")
            stopped = await _watch(reader, limits, on_output, namespace)
    return BuildEnding(0 if stopped else _status(process.returncode), stopped)


def _start(command: Sequence[str], output: int, passed: Sequence[int]) -> subprocess.Popen[bytes]:
    """Not by asyncio, which would start a thread for each to wait in: we have handles of our own to wait for."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={},
        pass_fds=passed,
        start_new_session=True,
        umask=0o022,
    )


class _Namespace:
    """The processes of one build, by a handle of their first; they all end with it.

    Bubblewrap tells of the first one before that runs the builder, so the handle can't be of another process.
    """

    def __init__(self, process: subprocess.Popen[bytes], told: BinaryIO) -> None:
        self._process, self._told = process, told
        self._ended = os.pidfd_open(process.pid)
        self._first = -1

    async def __aenter__(self) -> _Namespace:
        """Wait until bubblewrap has told, or has failed."""
        try:
            text = b""
            while not text.endswith(b"}\n") and (await readable(self._told.fileno())) and (data := self._told.read(4096)):
                text += data
            if text:  # Otherwise it failed; its status and its last words say why.
                with contextlib.suppress(ProcessLookupError):
                    self._first = os.pidfd_open(int(json.loads(text)["child-pid"]))
        except BaseException:
            await asyncio.shield(self.kill())
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is left."""
        await asyncio.shield(self.kill())

    async def ended(self, until: float) -> bool:
        """Wait until bubblewrap has ended, and with it the builder; false where it has not by then."""
        if not await readable(self._ended, until):
            return False
        self._process.wait()
        return True

    async def kill(self) -> None:
        """End all of them, and wait until the kernel has. Nothing where that was done."""
        first, self._first = self._first, -1
        ended, self._ended = self._ended, -1
        if first >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(first, signal.SIGKILL)
        if ended >= 0:
            if self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                await readable(ended)
                self._process.wait()
            os.close(ended)
        if first >= 0:
            # The first process of a namespace becomes readable when all others of it have been reaped.
            await readable(first)
            os.close(first)


async def _watch(reader: BinaryIO, limits: RunLimits, on_output: OnOutput, namespace: _Namespace) -> str:
    """Why it was stopped; empty where it ended by itself."""
    now = asyncio.get_running_loop().time
    end, left = now() + limits.timeout, limits.log_limit
    try:
        while True:
            silence_end = now() + limits.silence_timeout
            if not await readable(reader.fileno(), min(end, silence_end)):
                return SILENCE if silence_end < end else TIMEOUT
            data = reader.read(_PIECE)
            if not data:
                return "" if await namespace.ended(end) else TIMEOUT
            left -= len(data)
            if left < 0:
                return LOG_LIMIT
            await on_output(data)
    finally:
        await asyncio.shield(namespace.kill())


async def readable(descriptor: int, until: Optional[float] = None) -> bool:
    """Wait until something can be read, or a process has ended; false where the loop's clock came first."""
    loop = asyncio.get_running_loop()
    seen: asyncio.Future[bool] = loop.create_future()
    loop.add_reader(descriptor, _settle, seen, True)
    timer = None if until is None else loop.call_at(until, _settle, seen, False)
    try:
        return await seen
    finally:
        loop.remove_reader(descriptor)
        if timer is not None:
            timer.cancel()


async def writable(descriptor: int) -> None:
    """Wait until something can be written."""
    loop = asyncio.get_running_loop()
    seen: asyncio.Future[bool] = loop.create_future()
    loop.add_writer(descriptor, _settle, seen, True)
    try:
        await seen
    finally:
        loop.remove_writer(descriptor)


def _settle(seen: asyncio.Future[bool], result: bool) -> None:
    if not seen.done():
        seen.set_result(result)


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> Tuple[BinaryIO, int]:
    """A pipe: the end that we read, and the one that they write."""
    read_end, write_end = os.pipe()
    theirs.callback(os.close, write_end)
    return ours.enter_context(os.fdopen(read_end, "rb", buffering=0)), write_end


def _descriptor_with(data: bytes, opened: contextlib.ExitStack) -> int:
    """A descriptor that reads `data` from its start."""
    descriptor = os.memfd_create(DESCRIPTOR, os.MFD_CLOEXEC)
    opened.callback(os.close, descriptor)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _status(returncode: int) -> int:
    """Bubblewrap tells a signal as a shell does, by 128 + N."""
    return 128 - returncode if returncode > 128 else returncode
