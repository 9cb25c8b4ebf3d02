"""The texts of passwd, shadow, group and gshadow: lines by name. All that is not edited stays as it is, to the byte."""

from __future__ import annotations

import re
from typing import Dict, Final, Iterator, List, Mapping, Optional

PASSWD: Final = "/etc/passwd"
SHADOW: Final = "/etc/shadow"
GROUP: Final = "/etc/group"
GSHADOW: Final = "/etc/gshadow"
PASSWORD, NUMBER, GID, GECOS, HOME, SHELL = 1, 2, 3, 4, 5, 6
"""Fields of passwd; the first two are those of the other files too, so far as they have them."""
EXPIRES: Final = 7
"""A field of shadow: the day, counted from 1970, from which on nobody gets in."""
_FEWEST_FIELDS: Final = {PASSWD: 7, SHADOW: 2, GROUP: 4, GSHADOW: 4}
_MEMBERS: Final = 3
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_NIS: Final = ("+", "-")


class AccountTexts:
    """The account files of a host, while they are edited. A file that a host does not have stays missing."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """By path."""
        self._lines: Dict[str, List[str]] = {path: _LINE.findall(text) for path, text in texts.items()}

    def texts(self) -> Dict[str, str]:
        """By path."""
        return {path: "".join(lines) for path, lines in self._lines.items()}

    def has(self, path: str) -> bool:
        """Whether the host has such a file."""
        return path in self._lines

    def fields(self, path: str, name: str) -> Optional[List[str]]:
        """The fields of an account's line; None where there is none."""
        at = self._find(path, name)
        return None if at is None else self._lines[path][at].rstrip("\n").split(":")

    def all(self, path: str) -> Iterator[List[str]]:
        """The fields of all lines that are accounts."""
        for line in self._lines.get(path, ()):
            fields = line.rstrip("\n").split(":")
            if len(fields) >= _FEWEST_FIELDS[path] and not line.startswith((*_NIS, "#")):
                yield fields

    def numbers(self, path: str) -> Dict[int, str]:
        """All numbers that are taken, by whom."""
        return {int(fields[2]): fields[0] for fields in self.all(path) if fields[2].isdecimal()}

    def number(self, path: str, name: str) -> Optional[int]:
        """The number of an account; None where there is none, or no number."""
        fields = self.fields(path, name)
        return int(fields[2]) if fields is not None and fields[2].isdecimal() else None

    def add(self, path: str, line: str) -> None:
        """Add a line after the last account: before NIS's lines, and before a last line that lacks its end."""
        lines = self._lines.get(path)
        if lines is None:
            return
        at = len(lines)
        while at > 0 and (lines[at - 1].startswith(_NIS) or not lines[at - 1].endswith("\n")):
            at -= 1
        lines.insert(at, line + "\n")

    def replace(self, path: str, name: str, line: str) -> None:
        """Put another line in an account's place."""
        at = self._find(path, name)
        if at is not None:
            end = "\n" if self._lines[path][at].endswith("\n") else ""
            self._lines[path][at] = line + end

    def remove(self, path: str, name: str) -> None:
        """Take an account's line out."""
        at = self._find(path, name)
        if at is not None:
            del self._lines[path][at]

    def members(self, path: str, group: str) -> List[str]:
        """Of a group."""
        fields = self.fields(path, group)
        return [name for name in fields[_MEMBERS].split(",") if name] if fields and len(fields) > _MEMBERS else []

    def join(self, path: str, group: str, user: str) -> None:
        """Add a member."""
        fields = self.fields(path, group)
        if fields is not None and len(fields) > _MEMBERS and user not in self.members(path, group):
            self._set_members(path, group, fields, [*self.members(path, group), user])

    def leave(self, path: str, group: str, user: str) -> None:
        """Take a member out."""
        fields = self.fields(path, group)
        if fields is not None and user in self.members(path, group):
            self._set_members(path, group, fields, [name for name in self.members(path, group) if name != user])

    def leave_all(self, user: str) -> None:
        """Take a user out of all groups."""
        for path in (GROUP, GSHADOW):
            for fields in list(self.all(path)):
                self.leave(path, fields[0], user)

    def _set_members(self, path: str, group: str, fields: List[str], members: List[str]) -> None:
        self.replace(path, group, ":".join([*fields[:_MEMBERS], ",".join(members), *fields[_MEMBERS + 1 :]]))

    def _find(self, path: str, name: str) -> Optional[int]:
        prefix = name + ":"
        for at, line in enumerate(self._lines.get(path, ())):
            if line.startswith(prefix) and line.count(":") >= _FEWEST_FIELDS[path] - 1:
                return at
        return None
