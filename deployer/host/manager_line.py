"""A line to PID 1 that is open before it is needed: jobs are asked for and followed with no program to start in between.

`systemctl` takes longer to start than many a service. Where a service is down until we ask for its start, that counts. So this
speaks as much of D-Bus as two calls and one signal need, over the socket that systemctl itself uses as root. Whoever cannot reach
it, or does not understand what comes, asks by systemctl.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import time
from dataclasses import dataclass
from typing import Dict, Final, Iterator, List, Mapping, Optional, Sequence, Tuple

from deployer.errors import DeploymentError

SOCKET: Final = "/run/systemd/private"
DONE: Final = "done"
"""How a job ended that did what it was to do."""
OPENING: Final = 5.0
"""Seconds for the connection, and for the answer to a call."""
_CALL, _REPLY, _ERROR, _SIGNAL = 1, 2, 3, 4
_PATH, _INTERFACE, _MEMBER, _REPLY_SERIAL, _SIGNATURE = 1, 2, 3, 5, 8
_FIXED: Final = 16
_LONGEST: Final = 1 << 20
"""Bytes of a message: those that we wait for have a few hundred."""
_ORDER: Final = {"little": ("l", "<"), "big": ("B", ">")}


class LineUnusable(DeploymentError):
    """PID 1 can't be asked this way."""

    reason: str

    @property
    def message(self) -> str:
        """Why."""
        return f"systemd can't be asked over {SOCKET}: {self.reason}"

    @property
    def remedy(self) -> str:
        """There is another way."""
        return "Ask by systemctl."


@dataclass(frozen=True)
class Message:
    """What came: its kind, the fields that we know, and its texts."""

    kind: int
    member: str
    answers: int
    """The serial of the call."""
    texts: Tuple[str, ...]


class ManagerLine:
    """One connection. Close it."""

    def __init__(self, path: str = SOCKET) -> None:
        """Connect. Raises `LineUnusable`."""
        self._serial = 0
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(OPENING)
            self._socket.connect(path)
            # In one piece: what comes after `BEGIN` in the same read would lie there until more comes.
            self._socket.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\nBEGIN\r\n")
            if not self._greeting().startswith(b"OK "):
                raise LineUnusable("it does not know us")
        except OSError as error:
            self._socket.close()
            raise LineUnusable(str(error)) from None
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def have(self, method: str, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """`StopUnit` or `StartUnit` of each; how its job ended, in systemd's words: `done`, `failed`, `dependency` … Empty: not
        within `timeout` seconds. Raises `LineUnusable`."""
        deadline = time.monotonic() + timeout
        try:
            calls = {self._call(method, name): name for name in names}
            return self._follow(calls, deadline)
        except (OSError, struct.error, UnicodeDecodeError, IndexError) as error:
            raise LineUnusable(f"{type(error).__name__}: {error}") from None

    # -- details ---------------------------------------------------------------------------------------------------------

    def _follow(self, calls: Dict[int, str], deadline: float) -> Mapping[str, str]:
        """A job may end before the answer that names it."""
        until = min(deadline, time.monotonic() + OPENING)
        ended: Dict[str, str] = {}
        jobs: Dict[str, str] = {}
        removed: Dict[str, str] = {}
        while calls or jobs:
            message = self._receive(until if calls else deadline)
            if message is None and calls and until < deadline:
                raise LineUnusable(f"no answer within {OPENING:g} s")
            if message is None:
                break
            if message.kind == _SIGNAL and message.member == "JobRemoved":
                removed[message.texts[0]] = message.texts[2]
            elif message.kind in (_REPLY, _ERROR) and message.answers in calls:
                name = calls.pop(message.answers)
                if message.kind == _REPLY:
                    jobs[message.texts[0]] = name
                else:
                    ended[name] = message.texts[0] if message.texts else "refused"
            for job in [job for job in jobs if job in removed]:
                ended[jobs.pop(job)] = removed[job]
        return {**dict.fromkeys([*calls.values(), *jobs.values()], ""), **ended}

    def _call(self, method: str, name: str) -> int:
        self._serial += 1
        letter, order = _ORDER[sys.byteorder]
        body = _pad(_string(order, name), 4) + _string(order, "replace")
        fields = b""
        for code, kind, value in (
            (_PATH, "o", "/org/freedesktop/systemd1"),
            (_INTERFACE, "s", "org.freedesktop.systemd1.Manager"),
            (_MEMBER, "s", method),
            (_SIGNATURE, "g", "ss"),
        ):
            text = bytes([len(value)]) + value.encode() + b"\0" if kind == "g" else _string(order, value)
            fields = _pad(fields, 8) + bytes([code, 1]) + kind.encode() + b"\0" + text
        head = struct.pack(f"{order}cBBBIII", letter.encode(), _CALL, 0, 1, len(body), self._serial, len(fields))
        self._socket.settimeout(OPENING)
        self._socket.sendall(_pad(head + fields, 8) + body)
        return self._serial

    def _greeting(self) -> bytes:
        """One line, to the byte: what follows are messages."""
        line = b""
        while not line.endswith(b"\r\n") and len(line) < 4096:
            byte = self._socket.recv(1)
            if not byte:
                raise LineUnusable("it hung up")
            line += byte
        return line

    def _receive(self, deadline: float) -> Optional[Message]:
        """The next message; None where none came in time."""
        while True:
            size = _size(self._buffer)
            if size > _LONGEST:
                raise LineUnusable("a message is too long")
            if size and len(self._buffer) >= size:
                data, self._buffer = self._buffer[:size], self._buffer[size:]
                return _parse(data)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            with contextlib.suppress(socket.timeout):
                data = self._socket.recv(65536)
                if not data:
                    raise LineUnusable("it hung up")
                self._buffer += data


def _size(data: bytes) -> int:
    """Of the message that begins here; 0: not known yet."""
    if len(data) < _FIXED:
        return 0
    body, _, fields = struct.unpack_from(f"{_order(data)}III", data, 4)
    return int(_FIXED + fields + (-fields % 8) + body)


def _order(data: bytes) -> str:
    return "<" if data[:1] == b"l" else ">"


def _parse(data: bytes) -> Message:
    order = _order(data)
    body_size, _, fields_size = struct.unpack_from(f"{order}III", data, 4)
    member, answers, signature = "", 0, ""
    at, end = _FIXED, _FIXED + fields_size
    while at < end:
        at += -at % 8
        code, kind, at = data[at], data[at + 2 : at + 3], at + 4
        if kind == b"g":
            text, at = data[at + 1 : at + 1 + data[at]].decode(), at + data[at] + 2
        elif kind in (b"s", b"o"):
            at += -at % 4
            text, at = _text(order, data, at)
        elif kind == b"u":
            at += -at % 4
            answers = struct.unpack_from(f"{order}I", data, at)[0] if code == _REPLY_SERIAL else answers
            text, at = "", at + 4
        else:
            raise LineUnusable(f"a header has a field of the kind {kind!r}")
        member = text if code == _MEMBER else member
        signature = text if code == _SIGNATURE else signature
    return Message(data[1], member, answers, tuple(_texts(order, data[len(data) - body_size :], signature)))


def _texts(order: str, body: bytes, signature: str) -> Iterator[str]:
    """The texts of a body of numbers and texts, as far as it is that."""
    at = 0
    for kind in signature:
        if kind not in "uos":
            return
        at += -at % 4
        if kind == "u":
            at += 4
        else:
            text, at = _text(order, body, at)
            yield text


def _text(order: str, data: bytes, at: int) -> Tuple[str, int]:
    size: int = struct.unpack_from(f"{order}I", data, at)[0]
    if at + 4 + size >= len(data):
        raise LineUnusable("a text is cut short")
    return data[at + 4 : at + 4 + size].decode(), at + 4 + size + 1


def _string(order: str, text: str) -> bytes:
    data = text.encode()
    return struct.pack(f"{order}I", len(data)) + data + b"\0"


def _pad(data: bytes, to: int) -> bytes:
    return data + bytes(-len(data) % to)


__all__: List[str] = ["DONE", "LineUnusable", "ManagerLine"]
