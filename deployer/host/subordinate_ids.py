"""Ranges of subordinate user and group ids, as subuid(5) and subgid(5) give them to users for containers of their own. Pure.

A user has the same range in both files. A range that the host picked stays with its user, since files of containers belong to
its numbers. Lines that somebody else wrote are left alone, and count as the user's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Final, List, Mapping, Optional, Tuple

from deployer.formats.manifest import User

SUBUID: Final = "/etc/subuid"
SUBGID: Final = "/etc/subgid"
SUBORDINATE: Final = "subordinate ids"
"""What an action says of them."""
FIRST: Final = 100_000
"""As useradd(8) begins to count."""
LAST: Final = 4_294_967_294
"""The largest id of a user or group."""


@dataclass(frozen=True)
class Range:
    """Ids from `start` on."""

    start: int
    count: int

    @property
    def end(self) -> int:
        """The first id after it."""
        return self.start + self.count

    def meets(self, other: Range) -> bool:
        """Whether an id is in both."""
        return self.start < other.end and other.start < self.end

    def __str__(self) -> str:
        """As the files have it."""
        return f"{self.start}:{self.count}"


def range_from(text: str) -> Optional[Range]:
    """Parse what `str` wrote; None for anything else."""
    start, _, count = text.partition(":")
    if start.isdecimal() and count.isdecimal() and len(text) <= 24:
        return Range(int(start), int(count))
    return None


@dataclass(frozen=True)
class Choice:
    """What a user is to be given; nothing where others gave it what is declared. With `message`, why it can't be."""

    given: Optional[Range] = None
    message: str = ""
    remedy: str = ""


class SubordinateIds:
    """Both files, while they are edited. One that the host does not have is made with the first range."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """The account files by path."""
        self._texts: Dict[str, str] = {path: texts[path] for path in (SUBUID, SUBGID) if path in texts}

    def texts(self) -> Mapping[str, str]:
        """By path."""
        return self._texts

    def choose(self, user: User, recorded: Optional[Range]) -> Choice:
        """What a user has it keeps, since files of its containers belong to those numbers. `recorded`: what we gave it once."""
        has = tuple(dict.fromkeys(found for name, found in self._lines() if name == user.name))
        for found in has or ((recorded,) if recorded is not None else ()):
            if found.count != user.subordinate_ids or user.subordinate_start not in (-1, found.start):
                wanted = f"{user.subordinate_ids} from {user.subordinate_start}" if user.subordinate_start >= 0 else ""
                return Choice(
                    None,
                    f"it has {found.count} subordinate ids from {found.start}, and {wanted or user.subordinate_ids} are declared",
                    "Files of its containers belong to those: declare them, or remove them from /etc/subuid and /etc/subgid.",
                )
        if has and recorded not in has:
            return Choice()
        others = [found for name, found in self._lines() if name != user.name]
        declared = Range(user.subordinate_start, user.subordinate_ids) if user.subordinate_start >= 0 else None
        given = declared or recorded or _lowest(others, user.subordinate_ids)
        clash = next((one for one in others if one.meets(given)), None)
        if clash is not None or given.end - 1 > LAST:
            reason = f"somebody has {clash}" if clash is not None else f"the last id is {LAST}"
            return Choice(None, f"its subordinate ids {given} are not free: {reason}", "Declare another `subordinate_start`.")
        return Choice(given)

    def give(self, user: str, given: Range) -> bool:
        """Add a user's line to the files that lack it; say whether any did."""
        line, was = f"{user}:{given}", dict(self._texts)
        for path in (SUBUID, SUBGID):
            text = self._texts.get(path, "")
            if line not in text.splitlines():
                self._texts[path] = f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{line}\n"
        return self._texts != was

    def take(self, user: str, given: Range) -> bool:
        """Remove a user's line from both files; say whether it was there."""
        was_there = False
        for path, text in self._texts.items():
            lines = text.splitlines(keepends=True)
            kept = [line for line in lines if line.rstrip("\n") != f"{user}:{given}"]
            was_there = was_there or kept != lines
            self._texts[path] = "".join(kept)
        return was_there

    def _lines(self) -> List[Tuple[str, Range]]:
        found: List[Tuple[str, Range]] = []
        for text in self._texts.values():
            for line in text.splitlines():
                name, _, numbers = line.partition(":")
                parsed = range_from(numbers)
                if parsed is not None:
                    found.append((name, parsed))
        return found


def _lowest(taken: List[Range], count: int) -> Range:
    """The lowest range that nobody has."""
    start = FIRST
    for one in sorted(taken, key=lambda one: one.start):
        if Range(start, count).meets(one):
            start = one.end
    return Range(start, count)
