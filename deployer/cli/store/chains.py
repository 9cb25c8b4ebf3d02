"""Chains of references as text, with the files that hold them: what `nix why-depends` prints."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from deployer.cli.store.drawing import BLANK, FORK, LAST, LINE
from deployer.store import Store
from deployer.store.why import Why

_MARGIN: Final = 32
_UNPRINTABLE: Final = re.compile(rb"[^\x20-\x7e]")
_GREEN, _BLUE, _GREY, _PLAIN = "\x1b[32;1m", "\x1b[34;1m", "\x1b[38;5;244m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class _Step:
    """One line that is still to be printed, and what comes below it."""

    path: str
    lead: str
    mark: str
    """These two stand before the path; the second is grey with it, where it was shown before."""
    rest: str
    """What stands before all lines below it."""
    above: str = ""
    """The path whose reference this is, where this is the first of them."""
    hits: tuple[str, ...] = ()


def chains(store: Store, why: Why, *, show_all: bool, precise: bool, color: bool) -> Iterator[str]:
    """The shortest chain, or all of them."""
    visited: set[str] = set()
    todo = [_Step(why.path, "", "", "")]
    while todo:
        step = todo.pop()
        yield from step.hits
        grey = _GREY if color and step.path in visited else ""
        plain = _PLAIN if color and (precise or step.mark) else ""
        yield f"{step.lead}{grey}{step.mark}{step.path}{plain}"
        if step.above:
            visited.add(step.above)
        if step.path == why.dependency and not show_all and why.path != why.dependency:
            return
        if step.path in visited:
            continue
        if precise:
            visited.add(step.path)
        onward = why.steps(step.path)
        found = _holders(store, step.path, onward, why.dependency, color=color) if precise else {}
        below = []
        for at, other in enumerate(onward):
            is_last = not show_all or at == len(onward) - 1
            deeper = step.rest + (BLANK if is_last else LINE)
            first = "" if at or precise else step.path
            if precise:
                leads = [step.rest + (LAST if is_last else FORK), *[deeper] * len(found.get(other, []))]
                hits = [lead + hit for lead, hit in zip(leads, found.get(other, []), strict=False)][: None if show_all else 1]
                below.append(_Step(other, deeper, "→ ", deeper, first, tuple(hits)))
            else:
                below.append(_Step(other, step.rest, LAST if is_last else FORK, deeper, first))
        todo.extend(reversed(below))


def _holders(store: Store, path: str, others: tuple[str, ...], dependency: str, *, color: bool) -> dict[str, list[str]]:
    """By path that is referred to: the files of `path` that mention it, with what stands around."""
    parts = {os.path.basename(other)[:32].encode(): other for other in others}
    found: dict[str, list[str]] = {}

    def lit(data: bytes, part: bytes, at: int) -> str:
        text = data.decode("utf-8", "surrogateescape")
        if not color:
            return text
        paint = _GREEN if parts[part] == dependency else _BLUE
        return f"{text[:at]}{paint}{text[at : at + len(part)]}{_PLAIN}{text[at + len(part) :]}"

    def search(content: mmap.mmap, shown: str) -> None:
        for part, other in sorted(parts.items()):
            at = content.find(part)
            if at >= 0:
                start = max(at - _MARGIN, 0)
                around = _UNPRINTABLE.sub(b".", content[start : at + len(part) + _MARGIN])
                found.setdefault(other, []).append(f"{shown or '/'}: …{lit(around, part, at - start)}…")

    def visit(place: str, shown: str) -> None:
        if os.path.islink(place):
            target = os.fsencode(os.readlink(place))
            for part, other in sorted(parts.items()):
                at = target.find(part)
                if at >= 0:
                    found.setdefault(other, []).append(f"{shown or '/'} -> {lit(target, part, at)}")
        elif os.path.isdir(place):
            for name in sorted(os.listdir(place), key=os.fsencode):
                visit(f"{place}/{name}", f"{shown}/{name}" if shown else name)
        else:
            with open(place, "rb") as file:
                if os.fstat(file.fileno()).st_size:
                    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                        search(content, shown)

    visit(str(store.physical(path)), "")
    return found
