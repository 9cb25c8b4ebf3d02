"""A host's only door to other programs: arguments are lists, time and output are bounded."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Dict, Final, Mapping, Optional, Sequence, Tuple

from deployer.errors import DeploymentError
from deployer.host.fence import fenced

DEFAULT_TIMEOUT: Final = 30.0
"""Seconds."""
MAX_STDOUT: Final = 16 << 20
"""Bytes that are kept of standard output: the first ones. The rest is read and dropped, so that nobody blocks on us."""
MAX_STDERR: Final = 64 << 10
"""Bytes that are kept of standard error: the last ones."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PLAIN: Final = {"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "", "TERM": "dumb"}
"""So that output is the same on every host."""
_PIECE: Final = 1 << 16
_LOOK: Final = 0.05
"""Seconds after which we look whether a program ended that left its output open to a child."""


@dataclass(frozen=True)
class Completed:
    """A program that ended by itself."""

    arguments: Tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without the last newline."""
        text = self.stdout.decode(errors="replace")
        return text[:-1] if text.endswith("\n") else text

    @property
    def last_words(self) -> str:
        """The last of what it printed, in one bounded, printable line."""
        return last_words(self.stderr) or last_words(self.stdout)


class ProgramMissing(DeploymentError):
    """A program that we need is not on this host, or cannot be run."""

    program: str
    reason: str = "it is not installed"

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"'{self.program}' cannot be run on the host: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Install it on the host and try again."


class ProgramFailed(DeploymentError):
    """A program ended with a status other than 0."""

    arguments: Tuple[str, ...]
    status: int
    words: str

    @property
    def message(self) -> str:
        """What was run, and its last words."""
        return f"{shown(self.arguments)} ended with status {self.status}: {self.words or 'it printed nothing'}"


class ProgramTimedOut(DeploymentError):
    """A program did not end in time and was killed."""

    arguments: Tuple[str, ...]
    seconds: float

    @property
    def message(self) -> str:
        """What was run, and for how long."""
        return f"{shown(self.arguments)} did not end within {self.seconds:g} s and was killed"


def run(
    arguments: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout: float = DEFAULT_TIMEOUT,
    check: bool = True,
    environment: Optional[Mapping[str, str]] = None,
) -> Completed:
    """Run a program to its end, in `/`, in a session of its own.

    `environment` is added to a plain one. Raises `ProgramMissing`, `ProgramTimedOut` (its whole process group is killed
    then), and, where `check` holds, `ProgramFailed`.
    """
    completed = _run(tuple(str(argument) for argument in arguments), stdin, timeout, environment)
    if check and completed.status != 0:
        raise ProgramFailed(completed.arguments, completed.status, completed.last_words)
    return completed


def run_alone(arguments: Sequence[str], *, timeout: float) -> Completed:
    """Run a program such that nothing which it has started outlives it, be it in a session of its own.

    Where the host lets us make no control group, only its process group is killed, and only when the time is over. Raises
    `ProgramMissing` and `ProgramTimedOut`.
    """
    command = tuple(arguments)
    if "/" in command[0] and not os.access(command[0], os.X_OK):
        there = os.path.exists(command[0])
        raise ProgramMissing(command[0], "it is not executable" if there else "it is not installed")
    with fenced() as fence:
        if fence is None:
            return _run(command, b"", timeout, None)
        try:
            ended = _run(fence.around(command), b"", timeout, None)
        except ProgramTimedOut:
            raise ProgramTimedOut(command, timeout) from None
        return dataclasses.replace(ended, arguments=command)


def _run(command: Sequence[str], stdin: bytes, timeout: float, environment: Optional[Mapping[str, str]]) -> Completed:
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(environment),
            cwd="/",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise ProgramMissing(command[0], "it is not installed" if missing else one_line(str(error))) from None
    try:
        with _Conversation(process, stdin) as conversation:
            ended = conversation.hold(time.monotonic() + timeout)
    except BaseException:
        _kill_group(process)
        raise
    if not ended:
        _kill_group(process)
        raise ProgramTimedOut(tuple(command), timeout)
    return Completed(tuple(command), process.returncode, bytes(conversation.stdout), bytes(conversation.stderr))


def one_line(text: str, limit: int = 300) -> str:
    """Printable, on one line, bounded: what programs and networks say is shown to people."""
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 8 * limit]).split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def last_words(output: bytes, lines: int = 3) -> str:
    """The last lines that say something."""
    said = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return one_line(" | ".join(line.strip() for line in said[-lines:]))


def shown(arguments: Sequence[str]) -> str:
    """A command, for people."""
    return one_line(" ".join(arguments), 200)


class _Conversation:
    """Feeds a program and keeps what it says, up to the bounds."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes) -> None:
        self._process, self._left = process, memoryview(stdin)
        self.stdout, self.stderr = bytearray(), bytearray()
        self._selector = selectors.DefaultSelector()
        for stream, events in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stdout, selectors.EVENT_READ),
            (process.stderr, selectors.EVENT_READ),
        ):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream, events)

    def __enter__(self) -> _Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def hold(self, deadline: float) -> bool:
        """Until the program has ended; False where it has not by the deadline."""
        while self._selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return self._process.poll() is not None
            if not self._pass_on(min(left, _LOOK)) and self._process.poll() is not None:
                # What it said between our last look and its end is there by now.
                while self._pass_on(0.0) and time.monotonic() < deadline:
                    pass
                return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        return self._process.returncode is not None

    def _pass_on(self, seconds: float) -> bool:
        """What can be read or written within so many seconds; whether there was anything."""
        events = self._selector.select(seconds)
        for key, _ in events:
            self._move(key.fileobj)
        return bool(events)

    def _move(self, stream: object) -> None:
        if stream is self._process.stdin:
            self._write()
            return
        piece = _read(stream)
        if piece is None:
            return
        if not piece:
            self._selector.unregister(stream)  # type: ignore[arg-type]
        elif stream is self._process.stdout:
            self.stdout += piece[: MAX_STDOUT - len(self.stdout)]
        else:
            self.stderr += piece
            del self.stderr[: -MAX_STDERR or None]

    def _write(self) -> None:
        stream = self._process.stdin
        if stream is None:
            return
        try:
            self._left = self._left[os.write(stream.fileno(), self._left[:_PIECE]) :]
        except BlockingIOError:
            return
        except OSError:
            self._left = self._left[:0]
        if not self._left:
            self._selector.unregister(stream)
            with contextlib.suppress(OSError):
                stream.close()


def _read(stream: object) -> Optional[bytes]:
    try:
        return os.read(stream.fileno(), _PIECE)  # type: ignore[attr-defined]
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _environment(added: Optional[Mapping[str, str]]) -> Dict[str, str]:
    environment = {"PATH": ":".join(part for part in (os.environ.get("PATH"), _PATH) if part), **_PLAIN}
    for name in ("HOME", "LANG", "TZ", "SYSTEMD_BUS_TIMEOUT"):
        if name in os.environ:
            environment[name] = os.environ[name]
    return {**environment, **(added or {})}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """The group is that of the session that the program leads, and is there as long as we have not waited for the program."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5.0)
