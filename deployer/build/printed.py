"""What a build prints: kept in its log, told line by line, and its last lines remembered for the error."""

from __future__ import annotations

from collections import deque
from typing import Final

from deployer.build.engine import OnLine
from deployer.build.errors import BuildFailed, BuildTimedOut, EndedBadly, LogTooLong
from deployer.build.logs import LogWriter
from deployer.formats.building import LOG_LIMIT, SILENCE, TIMEOUT, BuildEnding, BuildOrder

_TAIL_LINES: Final = 25
_LINE_LIMIT: Final = 4096


class Printed:
    """Takes the output of one build, in pieces."""

    def __init__(self, log: LogWriter, on_line: OnLine) -> None:
        """`log` is sealed by whoever made it."""
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._log, self._on_line = log, on_line
        self._partial = b""

    async def write(self, data: bytes) -> None:
        """Take a piece."""
        self._log.write(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._tell(line)
        if len(self._partial) > _LINE_LIMIT:
            self.finish()

    def finish(self) -> None:
        """Tell the last line, which may lack its newline."""
        if self._partial:
            self._tell(self._partial)
        self._partial = b""

    def failure(self, order: BuildOrder, ending: BuildEnding) -> EndedBadly:
        """The error that an ending which is not good stands for."""
        match ending.stopped:
            case "":
                return BuildFailed(order.derivation, ending.status, tuple(self.tail))
            case stopped if stopped == LOG_LIMIT:
                return LogTooLong(order.derivation, order.log_limit)
            case stopped:
                is_silent = stopped == SILENCE
                seconds = order.silence_timeout if is_silent else order.timeout
                assert is_silent or stopped == TIMEOUT, stopped
                return BuildTimedOut(order.derivation, seconds, silent=is_silent)

    def _tell(self, line: bytes) -> None:
        text = line[:_LINE_LIMIT].decode(errors="replace").rstrip("\r")
        self.tail.append(text)
        self._on_line(text)
