"""Whether a version of Node is in a range as `engines` says it: `^18.12 || >=20`, `18.x`, `16 - 18` (the grammar of node-semver).

Only versions that are released are asked for: of what comes before a release it matters that it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import eq, ge, gt, le, lt
from typing import Final

Version = tuple[int, int, int]
_Bound = tuple[int, int, int, bool]
"""A version, and whether it is the release."""
_Test = Callable[[_Bound], bool]

_ANY: Final = ("x", "X", "*")
_PART: Final = r"(0|[1-9]\d*|[xX*])"
_SUFFIX: Final = r"(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_PARTIAL: Final = rf"([v=\s]*){_PART}(?:\.{_PART}(?:\.{_PART}{_SUFFIX})?)?"
_COMPARATOR: Final = re.compile(rf"(\^|~>?|(?:<|>)?=?)\s*{_PARTIAL}")
_HYPHEN: Final = re.compile(rf"\s*({_PARTIAL})\s+-\s+({_PARTIAL})\s*")
_SPACED: Final = re.compile(r"(\^|~>?|[<>]=?|=)\s+")
_DEBIAN: Final = re.compile(r"(?:\d+:)?(\d+)\.(\d+)\.(\d+)")
_OPERATORS: Final[Mapping[str, Callable[[_Bound, _Bound], bool]]] = {">": gt, ">=": ge, "<": lt, "<=": le, "": eq, "=": eq}


def released_version(debian: str) -> Version | None:
    """The version of Node that a Debian package of that version has."""
    match = _DEBIAN.match(debian)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


class _NoRange(ValueError):
    """It is no range."""


def satisfies(version: Version, wanted: str) -> bool:
    """Whether a released version is in a range; none is in what is no range."""
    asked = (*version, True)
    try:
        alternatives = [[*_tests(one.strip())] for one in wanted.split("||")]
    except _NoRange:
        return False
    return any(all(test(asked) for test in tests) for tests in alternatives)


def _tests(text: str) -> Iterator[_Test]:
    hyphen = _HYPHEN.fullmatch(text)
    if hyphen is not None:
        _, prefix, *low = hyphen.groups()[:6]
        if "=" in prefix and all(map(_is_number, low[:3])):
            raise _NoRange(text)
        yield from _bounds(">=", low)
        yield from _bounds("<=", hyphen.groups()[8:])
        return
    for word in _SPACED.sub(r"\1", text).split():
        match = _COMPARATOR.fullmatch(word)
        if match is None:
            raise _NoRange(word)
        operator, prefix, *parts = match.groups()
        if operator.startswith(("^", "~")):
            yield from _alike(operator, parts)
            continue
        known = [_is_number(part) for part in parts[:3]]
        if known != sorted(known, reverse=True) or (all(known) and prefix not in ("", "v")):
            raise _NoRange(word)
        yield from _bounds(operator, parts)


def _is_number(part: str | None) -> bool:
    return part is not None and part not in _ANY


def _read(parts: Sequence[str | None]) -> tuple[int | None, int | None, int | None, bool]:
    """Numbers, as far as they are said, and whether it is a release. After one that is not said none counts."""
    major, minor, patch = (int(part) if part is not None and _is_number(part) else None for part in parts[:3])
    minor = None if major is None else minor
    patch = None if minor is None else patch
    return major, minor, patch, not (parts[3] and patch is not None)


def _alike(operator: str, parts: Sequence[str | None]) -> Iterator[_Test]:
    """A caret or a tilde."""
    major, minor, patch, released = _read(parts)
    if major is not None:
        yield _compared(ge, (major, minor or 0, patch or 0, released))
        yield _compared(lt, _after(major, minor, patch, operator))


def _bounds(operator: str, parts: Sequence[str | None]) -> Iterator[_Test]:
    major, minor, patch, released = _read(parts)
    if major is None:
        if operator in ("<", ">"):
            yield lambda _: False
        return
    low = (major, minor or 0, patch or 0, released)
    if patch is None:
        yield from _partial(operator, low, _after(major, minor, patch, "~"))
    else:
        yield _compared(_OPERATORS[operator], low)


def _partial(operator: str, low: _Bound, after: _Bound) -> Iterator[_Test]:
    """What a comparator with parts left out means, which stands for all from `low` until before `after`."""
    match operator:
        case ">":
            yield _compared(ge, after)
        case "<=":
            yield _compared(lt, after)
        case ">=" | "<":
            yield _compared(_OPERATORS[operator], low)
        case _:
            yield _compared(ge, low)
            yield _compared(lt, after)


def _after(major: int, minor: int | None, patch: int | None, operator: str) -> _Bound:
    """The first version beyond those that a caret, or a tilde, takes for alike."""
    if minor is None or (operator == "^" and major > 0):
        return (major + 1, 0, 0, False)
    if operator == "^" and minor == 0 and patch is not None:
        return (major, minor, patch + 1, False)
    return (major, minor + 1, 0, False)


def _compared(operator: Callable[[_Bound, _Bound], bool], bound: _Bound) -> _Test:
    return lambda asked: operator(asked, bound)
