"""`${…}` in strings: a dotted path and nothing more."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

_PIECE: Final = re.compile(r"\$\$\{|\$\{([^}\n]*)\}|\$\{")


@dataclass(frozen=True, slots=True)
class Unclosed(ValueError):
    """A `${` without its `}`."""

    text: str


def interpolate(text: str, value_of: Callable[[str], Any]) -> Any:
    """Replace each `${path}` by its value; where the whole text is one, the value keeps its type.

    `$${` stands for `${`. Raises `Unclosed`, and whatever `value_of` raises.
    """
    if "${" not in text:
        return text
    whole = _PIECE.fullmatch(text)
    if whole is not None and whole[1] is not None:
        return value_of(whole[1].strip())

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match[1] is None:
            raise Unclosed(text[match.start() :][:40])
        return shown(value_of(match[1].strip()))

    return _PIECE.sub(replace, text)


def shown(value: Any) -> str:
    """A value within a text."""
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return ""
        case str() | int() | float():
            return str(value)
    raise TypeError("a mapping or a list can't stand within a text")
