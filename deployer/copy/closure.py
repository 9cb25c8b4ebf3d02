"""The copy of a closure: one question, one answer, one stream of what is missing."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from deployer.copy.session import HostSession
from deployer.errors import JsonValue
from deployer.formats.frames import encode_data, encode_end
from deployer.store import Store

PIECE: Final = 1 << 18
"""Bytes that are read, framed and sent at a time."""
_BEST_FIRST: Final = ("zstd", "zlib", "none")

PathSink = Callable[[str, int], None]
"""Takes each store path that is registered on the host, and its NAR's size."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy came to."""

    paths: int = 0
    bytes: int = 0
    """Over the wire, compressed."""
