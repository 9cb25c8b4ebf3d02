"""The undo log: what was there before each effect, durable before the effect.

One line a record: crc32 of the JSON, a space, the JSON. A line that a crash cut short was never followed by its effect, so
reading stops there. A rollback replays the records in reverse, as often as it takes.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, Dict, List

from deployer.host.disk import Disk
from deployer.host.paths import UNDO


class UndoLog:
    """The records of the transaction under way."""

    def __init__(self, disk: Disk) -> None:
        """Written through the door to the disk."""
        self._disk = disk

    def append(self, record: Dict[str, Any]) -> None:
        """Add a record; durable on return."""
        content = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
        self._disk.append(UNDO, b"%08x %s\n" % (zlib.crc32(content), content))

    def records(self) -> List[Dict[str, Any]]:
        """All whole records, oldest first."""
        try:
            lines = self._disk.read(UNDO).split(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return []
        records: List[Dict[str, Any]] = []
        for line in lines[:-1]:
            checksum, _, content = line.partition(b" ")
            if checksum != b"%08x" % zlib.crc32(content):
                break
            records.append(json.loads(content))
        return records
