"""The controller's only door to other programs: arguments are lists, output is captured, time is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from deployer.errors import DeploymentError

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds."""
_PIECE: Final = 1 << 16
_LINE: Final = 4096
"""Bytes of a line that are told."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended by itself."""

    arguments: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without the last newline."""
        return self.stdout.decode(errors="replace").removesuffix("\n")


class ProgramMissing(DeploymentError):
    """A program that we need is not installed here."""

    program: str

    @property
    def message(self) -> str:
        """Which."""
        return f"the program '{self.program}' is not installed on this machine"

    @property
    def remedy(self) -> str:
        """How to get it."""
        return f"Install it (on Debian: apt-get install {self.program}) and try again."


class ProgramFailed(DeploymentError):
    """A program ended with a status other than 0."""

    arguments: tuple[str, ...]
    status: int
    stderr: str

    @property
    def message(self) -> str:
        """What was run, and its last words."""
        last_words = " | ".join(self.stderr.strip().splitlines()[-3:]) or "it printed nothing"
        return f"{' '.join(self.arguments)} ended with status {self.status}: {last_words}"


class ProgramTimedOut(DeploymentError):
    """A program did not end in time and was killed."""

    arguments: tuple[str, ...]
    seconds: float

    @property
    def message(self) -> str:
        """What was run, and for how long."""
        return f"{' '.join(self.arguments)} did not end within {self.seconds:g} s and was killed"


async def run(
    arguments: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    timeout: float = DEFAULT_TIMEOUT,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    check: bool = True,
) -> Completed:
    """Run a program to its end in a process group of its own.

    `timeout` is in seconds. `environment` replaces ours where given. Raises `ProgramMissing`, `ProgramTimedOut`, and, where
    `check` holds, `ProgramFailed`. On cancellation the whole group is killed before the cancellation goes on.
    """
    command = tuple(str(argument) for argument in arguments)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=None if environment is None else dict(environment),
            cwd=directory,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise ProgramMissing(command[0]) from None
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr = await process.communicate(stdin)
    except TimeoutError:
        await _kill_group(process)
        raise ProgramTimedOut(command, timeout) from None
    except asyncio.CancelledError:
        await _kill_group(process)
        raise
    completed = Completed(command, process.returncode or 0, stdout, stderr)
    if check and completed.status != 0:
        raise ProgramFailed(command, completed.status, stderr.decode(errors="replace"))
    return completed


async def follow(
    arguments: Sequence[str | Path],
    *,
    on_line: Callable[[str], None],
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
    timeout: float,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a program between two files, and tell what it prints on standard error line by line. Returns its status.

    Without `stdin` it reads nothing; without `stdout` what it writes there goes. `timeout` is in seconds. Raises
    `ProgramMissing` and `ProgramTimedOut`; on cancellation the whole group is killed.
    """
    command = tuple(str(argument) for argument in arguments)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=stdin or asyncio.subprocess.DEVNULL,
            stdout=stdout or asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
    except FileNotFoundError:
        raise ProgramMissing(command[0]) from None
    assert process.stderr is not None
    partial = b""
    try:
        async with asyncio.timeout(timeout):
            while data := await process.stderr.read(_PIECE):
                *lines, partial = (partial + data).split(b"\n")
                for line in lines:
                    on_line(line[:_LINE].decode(errors="replace").rstrip("\r"))
                partial = partial[:_LINE]
            if partial:
                on_line(partial.decode(errors="replace"))
            return await process.wait()
    except TimeoutError:
        raise ProgramTimedOut(command, timeout) from None
    finally:
        if process.returncode is None:
            await asyncio.shield(_kill_group(process))


async def _kill_group(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
