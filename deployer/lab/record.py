"""The record: what a lab is about to make, written down before it is made.

A file of JSON lines, in order. Undoing goes through it backwards. An entry may name something that was never made, because
the run was killed in between: undoing then finds nothing, and that is fine. What no record names is never touched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

MOUNT: Final = "mount"
"""A mount point."""
NAMESPACE: Final = "namespace"
"""A named network namespace. Bridges, veth pairs and addresses in it go with it."""
CGROUP: Final = "cgroup"
"""A control group of our own, with all processes in it."""
MACHINE: Final = "machine"
"""A file that holds the process id of the keeper of a systemd-nspawn."""
UNIT: Final = "unit"
"""A transient unit of this machine's systemd that runs a systemd-nspawn."""
DIRECTORY: Final = "directory"
"""A directory with all below it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that the lab makes."""

    kind: str
    name: str
    host: str = ""
    """The host that it belongs to; empty: the lab's own."""


class Record:
    """The record of one lab. The file is the only truth: nothing of it is kept in memory, so any number of these agree."""

    def __init__(self, path: Path) -> None:
        """The record at `path`, whether or not it exists."""
        self._path = path

    def note(self, kind: str, name: str | Path, host: str = "") -> None:
        """Write down that this is going to be made. Writing it twice is harmless."""
        line = _line(Entry(kind, str(name), host))
        lines = self._whole_lines()
        if line not in lines:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)

    def entries(self, host: str | None = None) -> tuple[Entry, ...]:
        """What was noted last comes first; with `host`, only what belongs to that host."""
        found = (Entry(**json.loads(line)) for line in reversed(self._whole_lines()))
        return tuple(entry for entry in found if host is None or entry.host == host)

    def forget(self, host: str) -> None:
        """Drop the entries of one host, all of which have been undone."""
        self._write(line for line in self._whole_lines() if Entry(**json.loads(line)).host != host)

    def _whole_lines(self) -> list[str]:
        """All lines. One without its newline was cut off, so what it names was never made: it is taken out of the file."""
        if not self._path.is_file():
            return []
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            self._write(lines[:-1])
            return lines[:-1]
        return lines

    def _write(self, lines: Iterable[str]) -> None:
        temporary = self._path.with_name(self._path.name + ".new")
        temporary.write_text("".join(lines), encoding="utf-8")
        os.replace(temporary, self._path)


def _line(entry: Entry) -> str:
    return json.dumps(asdict(entry)) + "\n"
