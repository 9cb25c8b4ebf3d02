"""Names that stand for several: `web[01:20]`, `db[a:f]`, `node[0:100:10]`, and several ranges in one name."""

from __future__ import annotations

import itertools
import re
import string
from typing import Final

from deployer.errors import Place
from deployer.inventory.errors import BadRange

MAX_NAMES: Final = 65_536
"""That one name may stand for."""
_PARTS: Final = re.compile(r"\[([^\[\]]*)\]")
_NUMBERS: Final = re.compile(r"([0-9]*):([0-9]+)(?::([0-9]{1,9}))?")
_LETTERS: Final = re.compile(r"([a-zA-Z]?):([a-zA-Z])(?::([0-9]{1,9}))?")


def expand(name: str, place: Place) -> tuple[str, ...]:
    """The names that a name stands for, in order; itself where it has no range. Raises `BadRange`."""
    if "[" not in name and "]" not in name:
        return (name,)
    pieces = _PARTS.split(name)
    if any(bracket in piece for piece in pieces[::2] for bracket in "[]"):
        raise BadRange(place, name, "has brackets that do not match")
    choices = [(piece,) if at % 2 == 0 else _choices(name, piece, place) for at, piece in enumerate(pieces)]
    total = 1
    for choice in choices:
        total *= len(choice)
    if total > MAX_NAMES:
        raise BadRange(place, name, f"stands for {total} names, more than {MAX_NAMES}")
    return tuple("".join(combination) for combination in itertools.product(*choices))


def _choices(name: str, text: str, place: Place) -> tuple[str, ...]:
    if match := _NUMBERS.fullmatch(text):
        first, last = match[1] or "0", match[2]
        if max(len(first), len(last)) > 9:
            raise BadRange(place, name, f"has too large a number: [{text}]")
        padded = len(first) > 1 and first.startswith("0")
        if padded and len(first) != len(last):
            raise BadRange(place, name, f"has ends of unequal width: [{text}]")
        numbers = _steps(name, text, int(first), int(last), match[3], place)
        return tuple(str(number).zfill(len(first) if padded else 0) for number in numbers)
    if match := _LETTERS.fullmatch(text):
        last = match[2]
        first = match[1] or ("a" if last.islower() else "A")
        if first.islower() != last.islower():
            raise BadRange(place, name, f"mixes small and capital letters: [{text}]")
        letters = string.ascii_letters
        return tuple(letters[at] for at in _steps(name, text, letters.index(first), letters.index(last), match[3], place))
    raise BadRange(place, name, f"is not a range: [{text}]")


def _steps(name: str, text: str, low: int, high: int, step: str | None, place: Place) -> range:
    if low > high:
        raise BadRange(place, name, f"is inverted: [{text}]")
    if step is not None and int(step) == 0:
        raise BadRange(place, name, f"has a step of 0: [{text}]")
    found = range(low, high + 1, int(step or 1))
    if len(found) > MAX_NAMES:
        raise BadRange(place, name, f"stands for {len(found)} names, more than {MAX_NAMES}")
    return found
