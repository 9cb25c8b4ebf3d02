"""Sandboxes that our own warden makes: this side asks for them and hears of their ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import marshal
import os
import platform
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Dict, Final, Optional

from deployer.sandbox import cell
from deployer.sandbox.running import Running
from deployer.sandbox.spec import SandboxSpec
from deployer.sandbox.waiting import readable
from deployer.sandbox.warden import CLONE, ENDED, KILL, PACKET, PACKET_LIMIT, START

_SECONDS: Final = 20.0
"""How long the warden may take to begin."""
_OPEN: Final = "/proc/self/fd/"
"""Where we are ourselves, on a machine that was just sent us."""
# The packages without their doors, which would import what the warden does not need.
_PROGRAM: Final = """
import sys, types
for name in ("deployer", "deployer.sandbox"):
    package = types.ModuleType(name)
    package.__path__ = [sys.argv[1] + "/" + name.replace(".", "/")]
    sys.modules[name] = package
from deployer.sandbox.warden import serve
serve(int(sys.argv[2]))
"""


class Cells:
    """Has one warden for all builds of a run. Its methods are called in one event loop."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._channel: Optional[socket.socket] = None
        self._cells: Dict[int, _Cell] = {}
        self._last = 0
        self._real = functools.cache(os.path.realpath)

    async def open(self) -> str:
        """Start the warden. Returns why this machine lets it make no sandboxes, if it does not; then it is closed again."""
        if platform.machine() not in CLONE:
            return f"this is not known for machines of the kind {platform.machine()}"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = ours
        ours.setblocking(False)
        with theirs:
            self._process = _start(theirs.fileno())
        try:
            ours.send(marshal.dumps(cell.settings()))
            if not await readable(ours.fileno(), asyncio.get_running_loop().time() + _SECONDS):
                refused = "it does not begin"
            else:
                answer = ours.recv(PACKET_LIMIT)
                refused = "" if answer == b"ready" else answer.decode(errors="replace").strip() or self._last_words()
        except OSError:
            refused = self._last_words()
        except BaseException:
            self.close()
            raise
        if refused:
            self.close()
        else:
            asyncio.get_running_loop().add_reader(ours.fileno(), self._hear)
        return refused

    def close(self) -> None:
        """End the warden, and with it what runs."""
        channel, self._channel = self._channel, None
        if channel is not None:
            with contextlib.suppress(RuntimeError):  # The loop may be closed.
                asyncio.get_running_loop().remove_reader(channel.fileno())
            channel.close()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()
        for running in [*self._cells.values()]:
            running.end(-signal.SIGKILL)

    def _last_words(self) -> str:
        """Of a warden that has ended, or has to."""
        assert self._process is not None
        assert self._process.stderr is not None
        self._process.kill()
        lines = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended at once"

    async def start(self, spec: SandboxSpec, output: int) -> Running:
        """See `deployer.sandbox.running.Sandboxes`."""
        self._last += 1
        running = _Cell(self, self._last)
        self._cells[self._last] = running
        plan = marshal.dumps(cell.plan_of(spec, self._real))
        if len(plan) <= PACKET_LIMIT:
            self._send(START, self._last, plan, output)
            return running
        with os.fdopen(os.memfd_create("deployer-plan", os.MFD_CLOEXEC), "wb", buffering=0) as file:
            while plan:
                plan = plan[file.write(plan) :]
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            self._send(START, self._last, b"", output, file.fileno())
        return running

    def kill(self, number: int) -> None:
        """Have the warden end a build."""
        self._send(KILL, number, b"")

    def gone(self, number: int) -> None:
        """Nothing is left of a build."""
        self._cells.pop(number, None)

    def _send(self, kind: int, number: int, plan: bytes, *passed: int) -> None:
        try:
            if self._channel is None:
                raise BrokenPipeError
            socket.send_fds(self._channel, [PACKET.pack(kind, number, 0), plan], list(passed))
        except (BrokenPipeError, ConnectionResetError):
            self.close()

    def _hear(self) -> None:
        assert self._channel is not None
        try:
            packet = self._channel.recv(PACKET.size)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self.close()
            return
        kind, number, status = PACKET.unpack(packet)
        if kind == ENDED and number in self._cells:
            self._cells[number].end(status)


class _Cell:
    """One build. Its end is told when nothing of it is left."""

    def __init__(self, cells: Cells, number: int) -> None:
        self._cells, self._number = cells, number
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def status(self) -> int:
        """Of the builder."""
        return self._end.result()

    async def ended(self, until: float) -> bool:
        """See `Running`."""
        if not self._end.done():
            await asyncio.wait([self._end], timeout=max(0.0, until - asyncio.get_running_loop().time()))
        return self._end.done()

    @property
    def is_gone(self) -> bool:
        """See `Running`."""
        return self._end.done()

    async def kill(self) -> None:
        """See `Running`."""
        self._cells.kill(self._number)
        await asyncio.wait([self._end])

    def end(self, status: int) -> None:
        """It has ended."""
        self._cells.gone(self._number)
        if not self._end.done():
            self._end.set_result(status)


def _start(descriptor: int) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[2])
    in_memory = (int(root[len(_OPEN) :]),) if root.startswith(_OPEN) else ()
    return subprocess.Popen(
        (sys.executable, "-I", "-S", "-c", _PROGRAM, root, str(descriptor)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={},
        pass_fds=(descriptor, *in_memory),
        start_new_session=True,
        cwd="/",
    )
