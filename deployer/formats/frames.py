"""Frames: how the controller and a host's runtime talk over one SSH channel.

    frame = kind (1 byte) length (u32, big-endian) payload

Kind `J` carries one JSON document, `D` a piece of a byte stream, `E` ends that stream and is empty. The decoder is
sans-I/O: it takes bytes as they come and returns whole frames. All that arrives is hostile until it has passed here.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Dict, Final, List, Tuple

from deployer.errors import DeploymentError, JsonValue

JSON_KIND: Final = b"J"
DATA_KIND: Final = b"D"
END_KIND: Final = b"E"
HEADER_SIZE: Final = 5
MAX_DATA_SIZE: Final = 1 << 20
"""Bytes in one data frame."""
MAX_JSON_SIZE: Final = 32 << 20
"""Bytes in one JSON document: a plan's manifest with the text of every unit is the largest that we send."""
MAX_JSON_DEPTH: Final = 32
MAX_JSON_VALUES: Final = 1 << 20
"""Values in one document, of any kind: the smallest takes a hundred times its text in memory."""
_MOST_DIGITS: Final = 20


class FrameRefused(DeploymentError):
    """The other side of a channel sent something that is not a frame of ours."""

    reason: str
    host: str = ""
    """Which host it is about, where that is known."""

    @property
    def message(self) -> str:
        """What was wrong with it."""
        return f"the other side does not speak our protocol: {self.reason}"

    @property
    def remedy(self) -> str:
        """Where to look."""
        return "Look for a shell start-up file on the host that prints something (~/.bashrc, /etc/profile)."


@dataclass(frozen=True)
class Frame:
    """One frame, whole."""

    kind: bytes
    payload: bytes

    def document(self) -> Dict[str, JsonValue]:
        """The JSON object of a `J` frame. Raises `FrameRefused` for anything else."""
        if self.kind != JSON_KIND:
            raise FrameRefused(f"a JSON frame was expected, and {self.kind!r} came")
        return parse_document(self.payload)


def encode_document(document: Dict[str, JsonValue]) -> bytes:
    """A `J` frame of a JSON object."""
    payload = json.dumps(document, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    if len(payload) > MAX_JSON_SIZE:
        raise FrameRefused(f"a document of {len(payload)} bytes is larger than the {MAX_JSON_SIZE} allowed")
    return JSON_KIND + len(payload).to_bytes(4, "big") + payload


def encode_data(data: bytes) -> bytes:
    """`D` frames for a piece of a stream, however long; nothing for none."""
    return b"".join(
        DATA_KIND + len(piece).to_bytes(4, "big") + piece
        for piece in (data[at : at + MAX_DATA_SIZE] for at in range(0, len(data), MAX_DATA_SIZE))
    )


def encode_end() -> bytes:
    """The `E` frame that ends a stream."""
    return END_KIND + b"\0\0\0\0"


class FrameDecoder:
    """Bytes in, frames out."""

    def __init__(self) -> None:
        """An empty buffer."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> List[Frame]:
        """Take bytes; return the frames that they complete. Raises `FrameRefused` at the first wrong byte."""
        self._buffer += data
        frames: List[Frame] = []
        while len(self._buffer) >= HEADER_SIZE:
            kind, length = self._header()
            if len(self._buffer) < HEADER_SIZE + length:
                break
            frames.append(Frame(kind, bytes(self._buffer[HEADER_SIZE : HEADER_SIZE + length])))
            del self._buffer[: HEADER_SIZE + length]
        return frames

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not yet whole."""
        return len(self._buffer)

    def _header(self) -> Tuple[bytes, int]:
        kind, length = bytes(self._buffer[:1]), int.from_bytes(self._buffer[1:HEADER_SIZE], "big")
        limit = {JSON_KIND: MAX_JSON_SIZE, DATA_KIND: MAX_DATA_SIZE, END_KIND: 0}.get(kind)
        if limit is None:
            raise FrameRefused(f"it began with {bytes(self._buffer[:60])!r}")
        if length > limit:
            raise FrameRefused(f"a frame {kind!r} of {length} bytes is larger than the {limit} allowed")
        return kind, length


def parse_document(payload: bytes) -> Dict[str, JsonValue]:
    """A JSON object, strictly: UTF-8, no duplicate keys, finite numbers, bounded depth and size. Raises `FrameRefused`."""
    if sum(map(payload.count, (b",", b"[", b"{"))) > MAX_JSON_VALUES:
        raise FrameRefused(f"a JSON document holds more than {MAX_JSON_VALUES} values")
    try:
        document = json.loads(
            payload.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_int=_whole_number,
            parse_float=_finite_number,
        )
        if b"\\u" in payload:
            json.dumps(document, ensure_ascii=False).encode()  # half a pair of surrogates is no character, and can't be printed
    except (ValueError, RecursionError) as error:
        raise FrameRefused(f"a JSON document is malformed: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise FrameRefused("a JSON document is not an object")
    _check_depth(document, MAX_JSON_DEPTH)
    return document


def _unique_keys(pairs: List[Tuple[str, JsonValue]]) -> Dict[str, JsonValue]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return document


def _refuse_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not JSON")


def _whole_number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError("a number has too many digits")
    return int(text)


def _finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _check_depth(value: JsonValue, left: int) -> None:
    if left == 0:
        raise FrameRefused(f"a JSON document is nested deeper than {MAX_JSON_DEPTH}")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        _check_depth(child, left - 1)
