"""`builtin:isolated-programs`: a starter in `bin` for each program that a root tree has for its users.

Those are the programs of the packages that were asked for, and not those of what these depend on; or the ones that are named, by
their paths in the tree where these are not usual.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.build.archives import members
from deployer.build.debian_root import Deb
from deployer.build.root_tree import RootTree
from deployer.build.source_errors import ProgramsUnnamed, ProgramUnknown
from deployer.build.tree_writer import TreeWriter
from deployer.sandbox.launcher import START

_DIRECTORIES: Final = ("usr/bin", "usr/sbin", "usr/games", "bin", "sbin")
_STARTER: Final = """\
#!/bin/sh
exec {python}/bin/python3 -I -S {launcher}/{start} '{spec}' -- {command} "$@"
"""


@dataclass(frozen=True, slots=True)
class Starter:
    """What a starter names: store paths, and the variable that keeps the tree from the collector."""

    root: str
    python: str
    launcher: str
    variable: str

    def text(self, *command: str, in_use: Iterable[str] = ()) -> str:
        """A starter's script, for a program and its first arguments. `in_use`: more store paths that are used while it runs."""
        used = ":".join([self.root, *in_use])
        spec = json.dumps({"root": self.root, "environment": {self.variable: used}}, sort_keys=True)
        return _STARTER.format(python=self.python, launcher=self.launcher, start=START, spec=spec, command=shlex.join(command))


def isolated_programs(root: Path, own: Sequence[Deb], named: Sequence[str], starter: Starter, destination: Path) -> None:
    """Make `destination`. Raises `ProgramUnknown` where the tree at `root` has not what is named, `ProgramsUnnamed`."""
    programs = dict(_named(root, own, named) if named else _of(own))
    if not programs:
        raise ProgramsUnnamed(RootTree(root).package, programs_in(root))
    with TreeWriter(destination) as writer:
        for name, place in sorted(programs.items()):
            writer.file(("bin", name), [starter.text(place).encode()], executable=True)


def programs_in(root: Path) -> frozenset[str]:
    """The names of all that lies where programs of a root tree do."""
    directories = (root / directory for directory in _DIRECTORIES)
    return frozenset(entry.name for directory in directories if directory.is_dir() for entry in directory.iterdir())


def _of(own: Iterable[Deb]) -> Iterator[tuple[str, str]]:
    for deb in own:
        for member in members(deb.file):
            directory, _, name = member.name.removeprefix("./").rpartition("/")
            if directory in _DIRECTORIES and member.kind != "directory" and (member.executable or member.kind != "file"):
                yield name, f"/{directory}/{name}"


def _named(root: Path, own: Sequence[Deb], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        place = _place(root, name)
        if place is None:
            raise ProgramUnknown(RootTree(root).package, name, programs_in(root), frozenset(dict(_of(own))))
        yield name.rpartition("/")[2], place


def _place(root: Path, name: str) -> str | None:
    """Where a program is in the tree, by its name or its path; None where it is not there."""
    if name.startswith("/"):
        found = RootTree(root).leads_to(name)
        return name if found is not None and found.is_file() else None
    # A link may lead to something that only a machine has.
    places = (f"{directory}/{name}" for directory in _DIRECTORIES)
    return next((f"/{place}" for place in places if (root / place).is_symlink() or (root / place).is_file()), None)
