"""Sandboxes made by bubblewrap: where the kernel lets that make them and not us, and on builders (`deployer.host.building`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from typing import BinaryIO, Sequence, Tuple

from deployer.sandbox.bubblewrap import bubblewrap_options
from deployer.sandbox.network_scope import scoped
from deployer.sandbox.orphans import DESCRIPTOR
from deployer.sandbox.running import Running
from deployer.sandbox.seccomp import sandbox_filter
from deployer.sandbox.spec import SandboxSpec
from deployer.sandbox.waiting import readable


class Bubbles:
    """Starts one bubblewrap for each build."""

    def __init__(self, bubblewrap: Sequence[str]) -> None:
        """`bubblewrap`: how that is started."""
        self._bubblewrap = tuple(bubblewrap)

    def close(self) -> None:
        """Nothing is held."""

    async def start(self, spec: SandboxSpec, output: int) -> Running:
        """See `deployer.sandbox.running.Sandboxes`."""
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
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
            command = (*self._bubblewrap, "--args", str(passed[-1]), "--", spec.builder, *spec.arguments)
            namespace = _Namespace(_start(scoped(command) if spec.network else command, output, passed), told)
            theirs.close()
            await namespace.known()
            with contextlib.suppress(BrokenPipeError):
                start_pipe.write(b"\0")
            return namespace


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

    async def known(self) -> None:
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

    @property
    def status(self) -> int:
        """Bubblewrap tells a signal as a shell does, by 128 + N."""
        returncode = self._process.returncode
        return 128 - returncode if returncode > 128 else returncode

    async def ended(self, until: float) -> bool:
        """Bubblewrap ends with the builder."""
        if not await readable(self._ended, until):
            return False
        self._process.wait()
        return True

    @property
    def is_gone(self) -> bool:
        """Only when all of them were waited for."""
        return self._first < 0 and self._ended < 0

    async def kill(self) -> None:
        """Until the kernel has ended all of them."""
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
