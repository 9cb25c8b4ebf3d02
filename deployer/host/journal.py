"""The journal: one record in two preallocated slots, written in turn.

    slot = crc32 (u32, big-endian, of all that follows) sequence (u64) length (u32) JSON, zeros to 4096

A write goes over the older slot and is synced before it counts, so it needs no allocation on a full disk, and a torn one
leaves the other slot as it was.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Final, Optional, Tuple

from deployer.errors import NeedsPersonError
from deployer.formats.frames import FrameRefused, parse_document
from deployer.host.disk import Disk
from deployer.host.ledger import Metadata
from deployer.host.paths import JOURNAL
from deployer.host.transaction import Record

SLOT_SIZE: Final = 4096
_HEADER: Final = struct.Struct(">IQI")
_MAX_JSON: Final = SLOT_SIZE - _HEADER.size


class JournalDamaged(NeedsPersonError):
    """Both slots are unreadable: a disk that lies, or somebody wrote over the file."""

    @property
    def message(self) -> str:
        """What happened."""
        return "neither of the two slots of /var/lib/deployer/journal can be read"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Check the disk. The next deployment goes on from the generation that was last confirmed, and writes it anew."


class Journal:
    """The one place where a transaction's fate is decided."""

    def __init__(self, disk: Disk) -> None:
        """Read and written through the door to the disk."""
        self._disk = disk

    def create(self) -> None:
        """Allocate both slots, where there is no journal yet."""
        if self._disk.entry(JOURNAL) is None:
            self._disk.write(JOURNAL, _encode(0, Record()) + _encode(0, Record()), Metadata(0o600, 0, 0))

    def read(self) -> Record:
        """The newest whole record; an empty one where there is no journal. Raises `JournalDamaged`."""
        return self._newest()[1]

    def write(self, record: Record) -> None:
        """Make `record` the newest, durably."""
        sequence, _, slot = self._newest()
        self._disk.overwrite(JOURNAL, (1 - slot) * SLOT_SIZE, _encode(sequence + 1, record))

    def _newest(self) -> Tuple[int, Record, int]:
        try:
            data = self._disk.read(JOURNAL)
        except (FileNotFoundError, NotADirectoryError):
            return 0, Record(), 0
        slots = [_decode(data[at : at + SLOT_SIZE]) for at in (0, SLOT_SIZE)]
        whole = [(found[0], found[1], slot) for slot, found in enumerate(slots) if found is not None]
        if not whole:
            raise JournalDamaged
        return max(whole, key=lambda item: item[0])


def _encode(sequence: int, record: Record) -> bytes:
    content = json.dumps(record.to_document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if len(content) > _MAX_JSON:
        raise ValueError("a journal record must fit into its slot")
    body = struct.pack(">QI", sequence, len(content)) + content
    return (struct.pack(">I", zlib.crc32(body)) + body).ljust(SLOT_SIZE, b"\0")


def _decode(slot: bytes) -> Optional[Tuple[int, Record]]:
    if len(slot) != SLOT_SIZE:
        return None
    crc, sequence, length = _HEADER.unpack_from(slot)
    if length > _MAX_JSON or zlib.crc32(slot[4 : _HEADER.size + length]) != crc:
        return None
    try:
        return sequence, Record.from_document(parse_document(slot[_HEADER.size : _HEADER.size + length]))
    except (FrameRefused, TypeError):
        return None
