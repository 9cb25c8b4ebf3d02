"""Ranges of host names: `web[01:20]`, `rack[a:f]-node[1:9:2]`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Final

MAX_NAMES: Final = 65_536
"""Names that one pattern may stand for."""

_BRACKETS: Final = re.compile(r"\[([^\[\]]*)\]")
_RANGE: Final = re.compile(r"(?P<first>[0-9]*|[A-Za-z]):(?P<last>[0-9]+|[A-Za-z])(?::(?P<step>[0-9]+))?", re.ASCII)


class RangeRefused(ValueError):
    """A range that can't be expanded; the text says why."""


def expand(text: str) -> list[str]:
    """All names that a pattern stands for, in order; a text without brackets stands for itself. Raises `RangeRefused`."""
    parts = _BRACKETS.split(text)
    if any("[" in part or "]" in part for part in parts[::2]):
        raise RangeRefused("a bracket has no partner")
    choices = [_values(part) if index % 2 else [part] for index, part in enumerate(parts)]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MAX_NAMES:
        raise RangeRefused(f"it stands for {count} names; {MAX_NAMES} is the most")
    return ["".join(name) for name in itertools.product(*choices)]


def _values(text: str) -> Sequence[str]:
    match = _RANGE.fullmatch(text)
    if not match:
        raise RangeRefused(f"[{text}] is not a range")
    first, last, step = match["first"] or "0", match["last"], int(match["step"] or 1)
    if step == 0:
        raise RangeRefused("the step is 0")
    if first.isdigit() != last.isdigit():
        raise RangeRefused(f"[{text}] goes from a number to a letter")
    if first.isdigit():
        if len(first) > 9 or len(last) > 9:
            raise RangeRefused(f"[{text}] has numbers of more than 9 digits")
        width = len(first) if first.startswith("0") and len(first) > 1 else 0
        numbers = range(int(first), int(last) + 1, step)
        if not numbers:
            raise RangeRefused(f"[{text}] is inverted: {first} comes after {last}")
        if len(numbers) > MAX_NAMES:
            raise RangeRefused(f"it stands for {len(numbers)} names; {MAX_NAMES} is the most")
        return [str(number).zfill(width) for number in numbers]
    if first.isupper() != last.isupper():
        raise RangeRefused(f"[{text}] mixes small and capital letters")
    letters = range(ord(first), ord(last) + 1, step)
    if not letters:
        raise RangeRefused(f"[{text}] is inverted: {first} comes after {last}")
    return [chr(letter) for letter in letters]
