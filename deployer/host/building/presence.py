"""The controller on the other side, while nothing is built and while something is.

A machine that was cut off may hold its connections open for hours. So the controller says something every few seconds, and who
waits for it longer than its `patience`, or can't get rid of anything for so long, ends: the kernel sees to that by a timer where
we wait in a system call, and the loop's clock where a build runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final, Optional

from deployer.formats.frames import JSON_KIND, Frame, FrameRefused, encode_data, encode_document
from deployer.host.channel import Channel
from deployer.sandbox.waiting import readable, writable

_BEAT: Final = "beat"
_CANCEL: Final = "cancel"
_PIECE: Final = 1 << 16


class Gone(SystemExit):
    """Nobody is there any more; nothing is to be told, and nothing to be left behind."""


class Presence(Channel):
    """A channel that ends us with the other side."""

    def __init__(self, reading: int, writing: int, patience: float) -> None:
        """`patience` is in seconds."""
        super().__init__(reading, writing)
        self.patience = patience
        for number in (signal.SIGALRM, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, _leave)

    def next(self) -> Optional[Frame]:
        """The next frame that asks for something. Raises `FrameRefused`, and `Gone` where nothing comes."""
        while True:
            frame = super().next()
            if frame is None or verb_of(frame) not in (_BEAT, _CANCEL):
                return frame

    def _read(self) -> bytes:
        signal.setitimer(signal.ITIMER_REAL, self.patience)
        try:
            return super()._read()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def write(self, data: bytes) -> None:
        """Send frames. Raises `Gone` where they can't be got rid of."""
        view = memoryview(data)
        while view:
            signal.setitimer(signal.ITIMER_REAL, self.patience)
            try:
                view = view[os.write(self.writing, view[:_PIECE]) :]
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)


class During:
    """The same while a build runs: what it prints goes out, and that the controller is there comes in."""

    def __init__(self, channel: Presence, number: int) -> None:
        """`number`: the request's."""
        self._channel, self._number = channel, number
        self._left = bytearray()
        """What is to go out yet: frames that were begun are never left at half, even if their writer is called off."""

    def __enter__(self) -> During:
        """Nothing waits in a system call meanwhile."""
        os.set_blocking(self._channel.writing, False)
        return self

    def __exit__(self, *_: object) -> None:
        """As before."""
        os.set_blocking(self._channel.writing, True)

    def finish(self) -> None:
        """Send what is left; afterwards the channel can be used again."""
        os.set_blocking(self._channel.writing, True)
        self._channel.write(bytes(self._left))
        self._left.clear()

    async def wait_for_cancel(self) -> None:
        """Return when the build is to end. Raises `Gone` where nobody is there, `FrameRefused` for anything else."""
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            for frame in self._channel.take():
                verb = verb_of(frame)
                if verb == _CANCEL:
                    return
                if verb != _BEAT:
                    raise FrameRefused("something else than a sign of life came during a build")
                heard = loop.time()
                if not self._left:  # Otherwise what goes out is sign enough.
                    self._left += encode_document({"id": self._number, "event": {"alive": True}})
                    self._push()
            if not await readable(self._channel.reading, heard + self._channel.patience) or not self._channel.receive():
                raise Gone(1)

    async def print(self, data: bytes) -> None:
        """Send what the build printed; nothing more is taken from it before that is on its way."""
        self._left += encode_data(data)
        while not self._push():
            await writable(self._channel.writing)

    def _push(self) -> bool:
        """Send as much as goes without waiting; say whether that was all."""
        try:
            while self._left:
                del self._left[: os.write(self._channel.writing, self._left[:_PIECE])]
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            raise Gone(1) from None
        return True


def verb_of(frame: Frame) -> str:
    """What a document asks for; empty for all else."""
    verb = frame.document().get("verb") if frame.kind == JSON_KIND else None
    return verb if isinstance(verb, str) else ""


def _leave(*_: object) -> None:
    raise Gone(1)
