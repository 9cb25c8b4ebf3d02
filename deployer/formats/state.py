"""The state line: the few bytes that tell whether a host is already where it should be.

`/var/lib/deployer/state` holds one line that a shell can print, so that asking starts no Python on the host:

    deployer-state 1 PHASE GENERATION SYSTEM EPOCH
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from deployer.formats.frames import FrameRefused

SETTLED: Final = "settled"
"""The last transaction ended confirmed or rolled back; `system` is current and good."""
BUSY: Final = "busy"
"""A transaction is under way (or was cut off, and recovery has yet to finish it)."""
PENDING: Final = "pending"
"""Settled, and the next boot will bring another generation than the current one."""
LOST: Final = "lost"
"""Settled, but `system` is gone from the store. Never in the file: whoever prints the line sees it."""
BROKEN: Final = "broken"
"""A rollback failed three times; a person is needed."""
ABSENT: Final = "absent"
"""The host has never seen us, or was uninstalled: the file does not exist."""

_WORD: Final = "deployer-state"
_VERSION: Final = "1"
_PHASES: Final = frozenset({SETTLED, PENDING, LOST, BUSY, BROKEN, ABSENT})
_NOTHING: Final = "-"
_FIELDS: Final = 6
_MOST_DIGITS: Final = 36


@dataclass(frozen=True)
class StateLine:
    """A host's state at one moment."""

    phase: str = ABSENT
    generation: int = 0
    """0: none."""
    system: str = ""
    """Store path of the current system; empty: none."""
    epoch: int = 0

    def __str__(self) -> str:
        """The line, without its newline."""
        return f"{_WORD} {_VERSION} {self.phase} {self.generation} {self.system or _NOTHING} {self.epoch}"

    @classmethod
    def parse(cls, line: str) -> StateLine:
        """Read the line that a host printed. Raises `FrameRefused`."""
        words = line.split()
        if len(words) != _FIELDS or words[0] != _WORD:
            raise FrameRefused(f"it began with {line[:60]!r}")
        numbers = words[3] + words[5]
        sound = numbers.isascii() and numbers.isdecimal() and len(numbers) <= _MOST_DIGITS and words[4].isprintable()
        if words[1] != _VERSION or words[2] not in _PHASES or not sound:
            raise FrameRefused(f"its state is {line[:200]!r}")
        return cls(words[2], int(words[3]), "" if words[4] == _NOTHING else words[4], int(words[5]))
