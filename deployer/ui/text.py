"""Text that is safe and short: escaping, colours only where they are wanted, sizes and times for people."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TextIO

_COLOURS: Final = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def escape(text: str, *, keep_newlines: bool = False) -> str:
    """Text that cannot move the cursor, change colours or reorder letters: control characters are written out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter
        if letter == "\n" and keep_newlines
        else "    "
        if letter == "\t"
        else letter.encode("unicode_escape", "backslashreplace").decode()
        if unicodedata.category(letter) in _UNSAFE
        else letter
        for letter in text
    )


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours, or none."""

    enabled: bool = False

    @classmethod
    def for_stream(cls, stream: TextIO, environment: Mapping[str, str] = os.environ) -> Paint:
        """Colours only on a terminal that can show them, and never with NO_COLOR."""
        wanted = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        return cls(wanted and stream.isatty())

    def __call__(self, text: str, *styles: str) -> str:
        """The text in `green`, `red`, `yellow`, `cyan`, `bold` or `dim`."""
        if not self.enabled or not styles or not text:
            return text
        return f"\x1b[{';'.join(_COLOURS[style] for style in styles)}m{text}\x1b[0m"


def size(count: int) -> str:
    """`0 B`, `1.5 KiB`, `211 MiB`."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, one: str, many: str = "") -> str:
    """`1 host`, `3 hosts`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def name_of(path: str) -> str:
    """A store path without its directory and its hash."""
    base = path.rpartition("/")[2]
    return escape(base.partition("-")[2] or base)
