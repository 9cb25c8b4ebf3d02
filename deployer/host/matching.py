"""Searching what others wrote for a pattern, within a time.

Python's regular expressions can take years over a text that was made for it, and let no other thread run meanwhile. So where a
pattern repeats anything, another process searches, which can be killed.
"""

from __future__ import annotations

import re
import sys
from typing import Final, Optional, Sequence

from deployer.errors import DeploymentError
from deployer.host.process import ProgramTimedOut, one_line, run

_REPEATS: Final = re.compile(r"[*+{]|[^(]\?")
"""Finds one too many where such a letter is meant as itself; that costs a process and nothing else."""
_SEARCH: Final = """\
import re, sys
pattern = re.compile(sys.argv[1])
for number, line in enumerate(sys.stdin.buffer.read().decode("utf-8", "replace").split("\\n")):
    if pattern.search(line):
        print(number)
        break
"""


class PatternTooSlow(DeploymentError):
    """A pattern was not searched for in time."""

    pattern: str
    seconds: float

    @property
    def message(self) -> str:
        """Which."""
        return f"the search for '{one_line(self.pattern, 80)}' did not end within {self.seconds:.1f} s and was given up"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Write a pattern that does not repeat what repeats."


def first_match(pattern: str, lines: Sequence[str], seconds: float) -> Optional[str]:
    """The first line in which a pattern is found. Raises `PatternTooSlow`, and `re.error`."""
    if not _REPEATS.search(pattern):
        compiled = re.compile(pattern)
        return next((line for line in lines if compiled.search(line)), None)
    re.compile(pattern)
    command = [sys.executable, "-I", "-S", "-c", _SEARCH, pattern]
    try:
        found = run(command, stdin="\n".join(lines).encode("utf-8", "replace"), timeout=seconds).text
    except ProgramTimedOut:
        raise PatternTooSlow(pattern, seconds) from None
    return lines[int(found)] if found.isdecimal() and int(found) < len(lines) else None
