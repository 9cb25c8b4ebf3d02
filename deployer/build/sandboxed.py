"""Running one build script in the sandbox: its log, its limits, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from deployer.build.errors import BuildFailed, BuildTimedOut, LogTooLong
from deployer.build.sandbox import SandboxSpec, bubblewrap_options
from deployer.build.seccomp import sandbox_filter
from deployer.process import ProgramMissing

_BUBBLEWRAP: Final = "bwrap"
_TAIL_LINES: Final = 25
_LINE_LIMIT: Final = 4096
_AFTERLIFE: Final = 5.0
"""Seconds for what a build left running to die with its namespace."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How long a build may run and be silent, and how much it may print."""

    timeout: float
    silence_timeout: float
    log_limit: int


async def run_in_sandbox(
    spec: SandboxSpec, *, derivation: str, log_file: Path, limits: RunLimits, on_line: Callable[[str], None]
) -> None:
    """Run a build to its end; when this returns or raises, no process of it is left.

    Raises `BuildFailed`, `BuildTimedOut`, `LogTooLong`, `ProgramMissing`.
    """
    program = shutil.which(_BUBBLEWRAP)
    if program is None:
        raise ProgramMissing("bubblewrap")
    read_end, write_end = os.pipe()
    descriptors = [write_end]
    reader = os.fdopen(read_end, "rb", buffering=0)
    try:
        seccomp = _descriptor_with(sandbox_filter() or b"", descriptors) if sandbox_filter() else None
        options = bubblewrap_options(spec, seccomp_descriptor=seccomp)
        listed = _descriptor_with(b"".join(os.fsencode(option) + b"\0" for option in options), descriptors)
        process = await asyncio.create_subprocess_exec(
            *(program, "--args", str(listed), "--", spec.builder, *spec.arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            env={},
            pass_fds=descriptors[1:],
            start_new_session=True,
            umask=0o022,
        )
    except BaseException:
        reader.close()
        raise
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb") as log_stream, contextlib.closing(reader):
        log = _Log(log_stream, limits.log_limit, on_line, derivation)
        await _watch(process, reader, log, limits)
    if process.returncode:
        raise BuildFailed(derivation, _status(process.returncode), tuple(log.tail), str(log_file))


async def _watch(process: asyncio.subprocess.Process, reader: BinaryIO, log: _Log, limits: RunLimits) -> None:
    loop = asyncio.get_running_loop()
    pipe = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(pipe), reader)
    end = loop.time() + limits.timeout
    try:
        while True:
            silence_end = loop.time() + limits.silence_timeout
            try:
                async with asyncio.timeout_at(min(end, silence_end)):
                    data = await pipe.read(1 << 16)
            except TimeoutError:
                silent = silence_end < end
                raise log.timed_out(limits.silence_timeout if silent else limits.timeout, silent=silent) from None
            if not data:
                break
            log.write(data)
        try:
            async with asyncio.timeout_at(end):
                await process.wait()
        except TimeoutError:
            raise log.timed_out(limits.timeout, silent=False) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
            # The pipe ends when the last process of the build has died.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AFTERLIFE):
                    while await pipe.read(1 << 16):
                        pass
        log.finish()
        transport.close()


class _Log:
    """Keeps what a build prints, and tells it line by line."""

    def __init__(self, stream: BinaryIO, limit: int, on_line: Callable[[str], None], derivation: str) -> None:
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
        return BuildTimedOut(self._derivation, seconds, silent, self._stream.name)

    def finish(self) -> None:
        """Tell the last line, which may lack its newline."""
        if self._partial:
            self._tell(self._partial)
        self._partial = b""

    def _tell(self, line: bytes) -> None:
        text = line[:_LINE_LIMIT].decode(errors="replace").rstrip("\r")
        self.tail.append(text)
        self._on_line(text)


def _descriptor_with(data: bytes, opened: list[int]) -> int:
    """A descriptor that reads `data` from its start; noted in `opened`."""
    descriptor = os.memfd_create("deployer-sandbox", os.MFD_CLOEXEC)
    opened.append(descriptor)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _status(returncode: int) -> int:
    """Bubblewrap tells a signal as a shell does, by 128 + N."""
    return 128 - returncode if returncode > 128 else returncode
