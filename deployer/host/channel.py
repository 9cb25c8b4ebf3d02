"""The two descriptors of a conversation, as frames."""

from __future__ import annotations

import contextlib
import os
from typing import ContextManager, Dict, Final, Iterator, List, Optional

from deployer.errors import JsonValue
from deployer.formats.frames import DATA_KIND, END_KIND, Frame, FrameDecoder, FrameRefused, encode_data, encode_document

_READ_SIZE: Final = 1 << 16
_BEAT: Final = 5.0
"""Seconds."""


class Channel:
    """Frames from one descriptor, frames to another."""

    def __init__(self, reading: int, writing: int) -> None:
        """Nothing else may use them."""
        self.reading, self.writing = reading, writing
        self._decoder = FrameDecoder()
        self._frames: List[Frame] = []
        self.closed = False
        self._alone: ContextManager[object] = contextlib.nullcontext()
        """Held by who writes, while two may."""

    def next(self) -> Optional[Frame]:
        """The next frame; None where the other side has closed. Raises `FrameRefused`."""
        while not self._frames:
            if not self.receive():
                if self._decoder.pending:
                    raise FrameRefused("it ended in the middle of a frame")
                return None
        return self._frames.pop(0)

    def receive(self) -> bool:
        """Take what has come, waiting for the first of it; false where the other side has closed. Raises `FrameRefused`."""
        data = self._read()
        self._frames.extend(self._decoder.feed(data))
        return bool(data)

    def take(self) -> List[Frame]:
        """The frames that have come and were not asked for yet."""
        taken, self._frames = self._frames, []
        return taken

    def send(self, document: Dict[str, JsonValue]) -> None:
        """Send a document. Once the other side is gone, nothing more is sent, and what is under way goes on."""
        if self.closed:
            return
        try:
            self.write(encode_document(document))
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True

    @contextlib.contextmanager
    def repeating(self, document: Dict[str, JsonValue]) -> Iterator[None]:
        """Send a document every few seconds, whatever else is sent, so that the other side goes on waiting."""
        import threading

        ended = threading.Event()
        self._alone = threading.Lock()

        def beat() -> None:
            while not ended.wait(_BEAT):
                self.send(document)

        beating = threading.Thread(target=beat, daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()
            self._alone = contextlib.nullcontext()

    def send_data(self, data: bytes) -> None:
        """Send a piece of a stream. Raises `OSError` once the other side is gone: nobody wants the rest."""
        if data:
            self.write(encode_data(data))

    def _read(self) -> bytes:
        return os.read(self.reading, _READ_SIZE)

    def write(self, data: bytes) -> None:
        """Send frames. Raises `OSError` once the other side is gone."""
        view = memoryview(data)
        with self._alone:
            while view:
                view = view[os.write(self.writing, view) :]

    def stream(self) -> Iterator[bytes]:
        """The pieces of a byte stream, to its end. Raises `FrameRefused`."""
        while True:
            frame = self.next()
            if frame is None:
                raise FrameRefused("it ended in the middle of a stream")
            if frame.kind == END_KIND:
                return
            if frame.kind != DATA_KIND:
                raise FrameRefused("a piece of a stream was expected")
            yield frame.payload
