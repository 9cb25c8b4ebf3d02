"""What commands start in the end: those of unit files taken into words, and past programs that only start another one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_DIRECTIVE: Final = re.compile(
    r"^\s*(Exec(?:Condition|Start|StartPre|StartPost|Reload|ReloadPost|Stop|StopPre|StopPost))\s*=(.*)$", re.MULTILINE
)
"""Those with commands; systemd has others that begin so, such as `ExecPaths`."""
_WORD: Final = re.compile(r""" (?: "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | \\. | [^\s\\] )+ """, re.VERBOSE)
_QUOTED: Final = re.compile(r""" "((?:\\.|[^"\\])*)" | '((?:\\.|[^'\\])*)' """, re.VERBOSE)
_SPECIAL: Final = "@+!:|-"
"""What may stand before the program; after `@` follows what the program is told as its name."""
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


@dataclass(frozen=True, slots=True)
class _Prefix:
    """How a program that starts another is called."""

    valued: frozenset[str] = frozenset()
    """Options whose value is the next word."""
    arguments: int = 0
    """How many words stand before the other program."""


_PREFIXES: Final[Mapping[str, _Prefix]] = {
    "env": _Prefix(frozenset({"-u", "--unset", "-C", "--chdir"})),
    "ionice": _Prefix(frozenset({"-c", "--class", "-n", "--classdata"})),
    "nice": _Prefix(frozenset({"-n", "--adjustment"})),
    "nohup": _Prefix(),
    "setsid": _Prefix(),
    "stdbuf": _Prefix(frozenset({"-i", "--input", "-o", "--output", "-e", "--error"})),
    "timeout": _Prefix(frozenset({"-k", "--kill-after", "-s", "--signal"}), arguments=1),
}


def unit_commands(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each command of a unit file: its directive, and its words."""
    for directive, line in _DIRECTIVE.findall(text.replace("\\\n", " ")):
        command: list[str] = []
        for raw in [*_WORD.findall(line), ";"]:
            if raw != ";":
                command.append(_plain(raw))
            elif command:
                yield directive, _without_special(command)
                command = []


def programs_at(command: Sequence[str]) -> tuple[int, ...]:
    """Which words are programs, each started by the one before: the first and the third of `/usr/bin/env LANG=C PROGRAM`."""
    found, at = list[int](), 0
    while at < len(command):
        found.append(at)
        prefix = _PREFIXES.get(command[at].rpartition("/")[2])
        if prefix is None:
            break
        at = _started_by(prefix, command, at + 1)
    return tuple(found)


def _started_by(prefix: _Prefix, command: Sequence[str], at: int) -> int:
    while at < len(command) and command[at].startswith("-"):
        if command[at] == "--":
            at += 1
            break
        at += 2 if command[at] in prefix.valued else 1
    at += prefix.arguments
    while at < len(command) and _ASSIGNMENT.match(command[at]):
        at += 1
    return at


def _plain(raw: str) -> str:
    unquoted = _QUOTED.sub(lambda match: match[1] if match[1] is not None else match[2], raw)
    return re.sub(r"\\(.)", r"\1", unquoted)


def _without_special(command: Sequence[str]) -> tuple[str, ...]:
    program = command[0].lstrip(_SPECIAL)
    is_named = "@" in command[0][: len(command[0]) - len(program)]
    return (program, *command[2 if is_named else 1 :])
