"""Selectors: expressions that pick hosts.

    selector = part { ("," | ":") ["&" | "!"] part }
    part     = name | glob | "@" group | label "=" value | "~" regex | "@./file"
             | part "[" index "]" | part "[" first ":" last "]"

Parts are joined first, then those with `&` narrow what is there, then those with `!` take away, in whatever order they are
written. Unlike Ansible, a part that matches nothing is an error, and so is a selector that is empty or only takes away.
"""

from __future__ import annotations

import enum
import fnmatch
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.errors import near
from deployer.inventory.draft import ALL
from deployer.inventory.errors import (
    BadSelector,
    EmptySelector,
    NothingMatches,
    NothingSelected,
    OnlyExclusions,
)
from deployer.inventory.model import Fleet, Host
from deployer.inventory.values import is_ip

MAX_LENGTH: Final = 1 << 16
_SUBSCRIPT: Final = re.compile(r"(?P<what>.+)\[(?P<first>-?\d+)?(?P<to>:)?(?P<last>-?\d+)?\]", re.ASCII | re.DOTALL)
_LABEL: Final = re.compile(r"(?P<label>[A-Za-z0-9_./-]+)=(?P<value>.*)", re.DOTALL)
_WILD: Final = frozenset("*?[")
_LIMIT_FILE: Final = re.compile(r"(\.{0,2}|~)/")


class Operator(enum.Enum):
    """What a part does to the hosts before it."""

    UNION = ""
    INTERSECTION = "&"
    EXCLUSION = "!"


class Kind(enum.Enum):
    """What a part is about."""

    NAME = enum.auto()
    GROUP = enum.auto()
    LABEL = enum.auto()
    REGEX = enum.auto()
    FILE = enum.auto()


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a selector, parsed."""

    text: str
    """As it was written, without its operator."""
    operator: Operator
    kind: Kind
    pattern: str
    value: str = ""
    """Of a label."""
    first: int | None = None
    last: int | None = None
    sliced: bool = False
    """Whether there is a subscript; one index has `first` = `last`."""


def parse(selector: str) -> tuple[Part, ...]:
    """The parts of a selector. Raises `EmptySelector`, `OnlyExclusions` and `BadSelector`."""
    if not selector.strip():
        raise EmptySelector()
    if len(selector) > MAX_LENGTH:
        raise BadSelector(selector[:40] + "…", f"it is longer than {MAX_LENGTH} characters")
    pieces = [piece.strip() for piece in _split(selector)]
    if "" in pieces:
        raise BadSelector(selector, "there is nothing on one side of a `,` or `:`")
    parts = tuple(_part(piece, selector) for piece in pieces)
    if all(part.operator is not Operator.UNION for part in parts):
        raise OnlyExclusions(selector)
    return parts


def select(fleet: Fleet, selector: str) -> tuple[Host, ...]:
    """The hosts that a selector picks, in the inventory's order. Raises `SelectorError`."""
    chosen = _evaluate(fleet, selector, frozenset())
    if not chosen:
        raise NothingSelected(selector)
    return tuple(host for name, host in fleet.hosts.items() if name in chosen)


def _evaluate(fleet: Fleet, selector: str, files: frozenset[Path]) -> set[str]:
    matched = [(part.operator, _match(fleet, part, files)) for part in parse(selector)]
    chosen: set[str] = set()
    for operator in Operator:
        for found in (names for at, names in matched if at is operator):
            match operator:
                case Operator.UNION:
                    chosen |= found
                case Operator.INTERSECTION:
                    chosen &= found
                case Operator.EXCLUSION:
                    chosen -= found
    return chosen


def _split(selector: str) -> list[str]:
    """At `,` and `:` outside of brackets; an IPv6 address is whole."""
    pieces: list[str] = []
    for chunk in _split_at(selector, ","):
        bare = chunk.strip().lstrip("&!")
        pieces += [chunk] if is_ip(bare) else _split_at(chunk, ":")
    return pieces


def _split_at(text: str, separator: str) -> list[str]:
    pieces, depth, start, at = [], 0, 0, 0
    regex = text.lstrip(" ,:&!").startswith("~")
    while at < len(text):
        letter = text[at]
        if letter == "\\" and regex:
            at += 1
        elif letter == "[" or (regex and letter in "({"):
            depth += 1
        elif letter == "]" or (regex and letter in ")}"):
            depth = max(0, depth - 1)
        elif letter == separator and depth == 0:
            pieces.append(text[start:at])
            start = at + 1
            regex = text[start:].lstrip(" &!").startswith("~")
        at += 1
    return [*pieces, text[start:]]


def _part(piece: str, selector: str) -> Part:
    operator = Operator(piece[0]) if piece[0] in "&!" else Operator.UNION
    text = piece[1:].strip() if operator is not Operator.UNION else piece
    if not text:
        raise BadSelector(selector, f"there is nothing behind `{piece}`")
    if text.startswith("~"):
        try:
            re.compile(text[1:])
        except (re.error, RecursionError, OverflowError) as error:
            raise BadSelector(selector, f"`{text}` is not a regular expression: {error}") from None
        return Part(text, operator, Kind.REGEX, text[1:])
    if text.startswith("@") and _LIMIT_FILE.match(text[1:]):
        return Part(text, operator, Kind.FILE, text[1:])
    if label := _LABEL.fullmatch(text):
        return Part(text, operator, Kind.LABEL, label["label"], label["value"])
    what, first, last, sliced = text, None, None, False
    # `web[1-3]` is a glob, though both of its ends could be indexes.
    if (match := _SUBSCRIPT.fullmatch(text)) and (match["to"] or (match["first"] and not match["last"])):
        sliced, what = True, match["what"]
        first = int(match["first"]) if match["first"] else None
        last = first if not match["to"] else int(match["last"]) if match["last"] else None
    if text.count("[") != text.count("]"):
        raise BadSelector(selector, f"the brackets of `{text}` do not match")
    kind = Kind.GROUP if what.startswith("@") else Kind.NAME
    pattern = what.removeprefix("@")
    if not pattern:
        raise BadSelector(selector, f"`{text}` names no group")
    return Part(text, operator, kind, pattern, first=first, last=last, sliced=sliced)


def _match(fleet: Fleet, part: Part, files: frozenset[Path]) -> set[str]:
    match part.kind:
        case Kind.NAME:
            found = _by_name(fleet, part.pattern)
        case Kind.GROUP:
            found = _in_groups(fleet, part.pattern)
        case Kind.LABEL:
            found = _by_label(fleet, part)
        case Kind.REGEX:
            expression = re.compile(part.pattern)
            found = [name for name in fleet.hosts if expression.match(name)]
        case Kind.FILE:
            found = list(_from_file(fleet, part, files))
    if part.sliced and found:
        found = _slice(found, part)
    if not found:
        raise _nothing(fleet, part)
    return set(found)


def _by_name(fleet: Fleet, pattern: str) -> list[str]:
    """Hosts by their names; where none has it, groups: so that Ansible's `webservers` works without an `@`."""
    if pattern == ALL or pattern in fleet.hosts:
        return [pattern] if pattern in fleet.hosts else list(fleet.hosts)
    if not _WILD & set(pattern):
        return list(fleet.groups.get(pattern, ()))
    matches = _glob(pattern)
    return [name for name in fleet.hosts if matches(name)] or _in_groups(fleet, pattern)


def _in_groups(fleet: Fleet, pattern: str) -> list[str]:
    if not _WILD & set(pattern):
        return list(fleet.groups.get(pattern, ()))
    matches = _glob(pattern)
    inside = {name for group, members in fleet.groups.items() if matches(group) and group != ALL for name in members}
    return [name for name in fleet.hosts if name in inside]


def _by_label(fleet: Fleet, part: Part) -> list[str]:
    matches = _glob(part.value)
    return [name for name, host in fleet.hosts.items() if (value := host.labels.get(part.pattern)) is not None and matches(value)]


def _glob(pattern: str) -> Callable[[str], bool]:
    expression = re.compile(fnmatch.translate(pattern))
    return lambda name: expression.match(name) is not None


def _slice(names: list[str], part: Part) -> list[str]:
    """Both ends are included; negative indexes count from the end."""
    total = len(names)
    first = 0 if part.first is None else part.first + total * (part.first < 0)
    last = total - 1 if part.last is None else part.last + total * (part.last < 0)
    return [name for at, name in enumerate(names) if first <= at <= last]


def _from_file(fleet: Fleet, part: Part, files: frozenset[Path]) -> Iterable[str]:
    path = Path(part.pattern).expanduser()
    if path in files:
        raise BadSelector(part.text, "the file names itself")
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_LENGTH + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadSelector(part.text, f"the file can't be read: {reason}") from None
    lines = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    return _evaluate(fleet, ",".join(line for line in lines if line), files | {path})


def _nothing(fleet: Fleet, part: Part) -> NothingMatches:
    groups = [f"@{name}" for name in fleet.groups]
    match part.kind:
        case Kind.LABEL:
            known: Collection[str] = {f"{key}={value}" for host in fleet.hosts.values() for key, value in host.labels.items()}
            values = sorted(pair for pair in known if pair.startswith(f"{part.pattern}="))
            return NothingMatches(part.text, near(part.text, known) or tuple(values[:3]))
        case Kind.GROUP if fleet.groups.get(part.pattern) == ():
            return NothingMatches(part.text, hint=f"The group '{part.pattern}' has no hosts.")
        case Kind.GROUP:
            return NothingMatches(part.text, near(f"@{part.pattern}", groups))
        case Kind.NAME if part.sliced and (size := len(_by_name(fleet, part.pattern))):
            return NothingMatches(part.text, hint=f"`{part.pattern}` matches {size} hosts, which are counted from 0.")
    # A group is written with an `@`, which must not make its name look more distant than it is.
    known = {name: f"@{name}" for name in fleet.groups} | {name: name for name in fleet.hosts}
    return NothingMatches(part.text, tuple(known[name] for name in near(part.pattern, known)))
