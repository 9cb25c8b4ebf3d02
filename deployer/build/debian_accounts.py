"""Accounts that the maintainer scripts of a root tree's packages would make, as far as they say so in plain words.

No script runs, so a configuration declares what its services run as. These are the names that packages' own files expect:
those of `adduser --system` and kin in scripts, and those of files of sysusers.d(5).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.build.archives import deb_control_file
from deployer.build.debian_root import Deb
from deployer.build.root_tree import RootTree

_SCRIPTS: Final = ("preinst", "postinst")
_SYSUSERS: Final = "usr/lib/sysusers.d"
_COMMANDS: Final = {"adduser": "user", "addgroup": "group", "useradd": "user", "groupadd": "group"}
_OF_THE_SYSTEM: Final = frozenset({"--system", "-r"})
_WITH_A_VALUE: Final = re.compile(
    r"-[bcdegGkKpsu]|--(?:home(?:-dir)?|shell|gecos|comment|[ug]id|ingroup|firstuid|lastuid|conf|groups)"
)
_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]*")
_ASSIGNMENT: Final = re.compile(r"^\s*([A-Za-z_]\w*)=([\"']?)([a-z0-9_-]+)\2\s*(?:;|$)", re.MULTILINE)
_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_LONGEST_LINE: Final = 4096


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """One account."""

    name: str
    kind: str
    """`user` or `group`."""
    said_by: str
    """A Debian package, or a file of sysusers.d."""


def accounts_of_tree(root: Path, debs: Iterable[Deb]) -> tuple[Account, ...]:
    """All of the tree at `root`, which is made of these. Raises `ArchiveRefused`."""
    found = [account for deb in debs for script in _SCRIPTS for account in _of_deb(deb, script)]
    directory = RootTree(root).leads_to(_SYSUSERS)
    if directory is not None and directory.is_dir():
        for file in sorted(directory.glob("*.conf")):
            if file.is_file() and not file.is_symlink():
                found += accounts_of_sysusers(file.read_text(encoding="utf-8", errors="replace"), file.name)
    return tuple(sorted(set(found)))


def _of_deb(deb: Deb, script: str) -> Iterator[Account]:
    yield from accounts_of_script(deb_control_file(deb.file, deb.name, script), deb.name)


def accounts_of_sysusers(text: str, said_by: str) -> Iterator[Account]:
    """Those of a file of sysusers.d(5). A user has a group of its name."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in ("u", "u!", "g") and _NAME.fullmatch(words[1]):
            if words[0] != "g":
                yield Account(words[1], "user", said_by)
            yield Account(words[1], "group", said_by)


def accounts_of_script(script: str, said_by: str) -> Iterator[Account]:
    """Those that a maintainer script makes, where it names them, or a variable that it sets to one word."""
    values: dict[str, set[str]] = {}
    for match in _ASSIGNMENT.finditer(script):
        values.setdefault(match[1], set()).add(match[3])

    def value_of(match: re.Match[str]) -> str:
        known = values.get(match[1] or match[2], set())
        return next(iter(known)) if len(known) == 1 else match[0]

    for line in script.replace("\\\n", " ").splitlines():
        if any(command in line for command in _COMMANDS) and len(line) <= _LONGEST_LINE:
            yield from _of_line(_words(_VARIABLE.sub(value_of, line)), said_by)


def _words(line: str) -> Sequence[str]:
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    try:
        return [*words]
    except ValueError:
        return ()


def _of_line(words: Sequence[str], said_by: str) -> Iterator[Account]:
    for at, word in enumerate(words):
        kind = _COMMANDS.get(word.rpartition("/")[2])
        if kind is None:
            continue
        said: list[str] = []
        for argument in words[at + 1 :]:
            if argument[0:1] in (";", "&", "|", ">", "<", "(", ")"):
                break
            said.append(argument)
        names = [*_names(said)]
        if not _OF_THE_SYSTEM.isdisjoint(said) and len(names) == 1 and _NAME.fullmatch(names[0]):
            yield Account(names[0], kind, said_by)
            if kind == "user" and "--group" in said:
                yield Account(names[0], "group", said_by)


def _names(arguments: Sequence[str]) -> Iterator[str]:
    """What of the arguments is neither an option nor one's value."""
    previous = ""
    for argument in arguments:
        if not argument.startswith(("-", "$")) and not _WITH_A_VALUE.fullmatch(previous) and not argument.isdecimal():
            yield argument
        previous = argument
