"""Running one build script in the sandbox: its log, its limits, its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Self

from deployer.build.errors import BuildFailed, BuildTimedOut, LogTooLong
from deployer.build.logs import LogWriter
from deployer.build.network_scope import scoped
from deployer.build.orphans import DESCRIPTOR
from deployer.build.sandbox import SandboxSpec, bubblewrap_options
from deployer.build.seccomp import sandbox_filter
from deployer.process import ProgramMissing

_BUBBLEWRAP: Final = "bwrap"
_TAIL_LINES: Final = 25
_LINE_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How long a build may run and be silent, and how much it may print."""

    timeout: float
    silence_timeout: float
    log_limit: int


async def run_in_sandbox(
    spec: SandboxSpec, *, derivation: str, log: LogWriter, limits: RunLimits, on_line: Callable[[str], None]
) -> None:
    """Run a build to its end; when this returns or raises, no process of it is left, nor anything that it left running.

    Raises `BuildFailed`, `BuildTimedOut`, `LogTooLong`, `ProgramMissing`.
    """
    program = shutil.which(_BUBBLEWRAP)
    if program is None:
        raise ProgramMissing("bubblewrap")
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        reader, write_end = _pipe(ours, theirs)
        told, tell = _pipe(ours, theirs)
        blocked, start = os.pipe()
        theirs.callback(os.close, blocked)
        start_pipe = ours.enter_context(os.fdopen(start, "wb", buffering=0))
        passed = [tell, blocked]
        extra = ["--info-fd", str(tell), "--block-fd", str(blocked)]
        if calls := sandbox_filter():
            passed.append(_descriptor_with(calls, theirs))
            extra += ["--seccomp", str(passed[-1])]
        etc = {name: _descriptor_with(text.encode(), theirs) for name, text in spec.etc_files.items()}
        passed += etc.values()
        options = [*extra, *bubblewrap_options(spec, etc)]
        passed.append(_descriptor_with(b"".join(os.fsencode(option) + b"\0" for option in options), theirs))
        command = (program, "--args", str(passed[-1]), "--", spec.builder, *spec.arguments)
        process = _start(scoped(command) if spec.network else command, write_end, passed)
        theirs.close()
        async with _Namespace(process, told) as namespace:
            with contextlib.suppress(BrokenPipeError):
                start_pipe.write(b"\0")
            printed = _Log(log, limits.log_limit, on_line, derivation)
            await _watch(reader, printed, limits, namespace)
    if process.returncode:
        raise BuildFailed(derivation, _status(process.returncode), tuple(printed.tail))


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

    async def __aenter__(self) -> Self:
        """Wait until bubblewrap has told, or has failed."""
        try:
            text = b""
            while not text.endswith(b"}\n") and (await _readable(self._told.fileno())) and (data := self._told.read(4096)):
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

    async def ended(self) -> None:
        """Wait until bubblewrap has ended, and with it the builder."""
        await _readable(self._ended)
        self._process.wait()

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
                await _readable(ended)
                self._process.wait()
            os.close(ended)
        if first >= 0:
            # The first process of a namespace becomes readable when all others of it have been reaped.
            await _readable(first)
            os.close(first)


async def _watch(reader: BinaryIO, log: _Log, limits: RunLimits, namespace: _Namespace) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.timeout
    try:
        while True:
            silence_end = loop.time() + limits.silence_timeout
            try:
                async with asyncio.timeout_at(min(end, silence_end)):
                    await _readable(reader.fileno())
            except TimeoutError:
                silent = silence_end < end
                raise log.timed_out(limits.silence_timeout if silent else limits.timeout, silent=silent) from None
            data = reader.read(1 << 16)
            if not data:
                break
            log.write(data)
        try:
            async with asyncio.timeout_at(end):
                await namespace.ended()
        except TimeoutError:
            raise log.timed_out(limits.timeout, silent=False) from None
    finally:
        await asyncio.shield(namespace.kill())
        log.finish()


async def _readable(descriptor: int) -> bool:
    """Wait until something can be read, or a process has ended. Always true."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        return await readable.wait()
    finally:
        loop.remove_reader(descriptor)


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[BinaryIO, int]:
    """A pipe: the end that we read, and the one that they write."""
    read_end, write_end = os.pipe()
    theirs.callback(os.close, write_end)
    return ours.enter_context(os.fdopen(read_end, "rb", buffering=0)), write_end


class _Log:
    """Keeps what a build prints, and tells it line by line."""

    def __init__(self, stream: LogWriter, limit: int, on_line: Callable[[str], None], derivation: str) -> None:
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._stream, self._limit, self._left = stream, limit, limit
        self._on_line, self._derivation = on_line, derivation
        self._partial = b""

    def write(self, data: bytes) -> None:
        """Take a piece. Raises `LogTooLong`."""
        self._left -= len(data)
        if self._left < 0:
            raise LogTooLong(self._derivation, self._limit)
        self._stream.write(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._tell(line)
        if len(self._partial) > _LINE_LIMIT:
            self.finish()

    def timed_out(self, seconds: float, *, silent: bool) -> BuildTimedOut:
        """The error for a build that the clock stopped."""
        return BuildTimedOut(self._derivation, seconds, silent)

    def finish(self) -> None:
        """Tell the last line, which may lack its newline."""
        if self._partial:
            self._tell(self._partial)
        self._partial = b""

    def _tell(self, line: bytes) -> None:
        text = line[:_LINE_LIMIT].decode(errors="replace").rstrip("\r")
        self.tail.append(text)
        self._on_line(text)


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
