"""How systemd writes things: command lines, and names of units that stand for paths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9_@+=:,./-]+")
_UNESCAPED: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")


def command_line(words: Iterable[str]) -> str:
    """Program and arguments as `ExecStart=` has them: each reaches the program letter for letter."""
    return " ".join(word if _PLAIN.fullmatch(word) else quoted(word) for word in words)


def quoted(text: str) -> str:
    """One word in quotes, in which neither specifiers (`%`) nor variables (`$`) mean anything."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def unit_name(path: str) -> str:
    """What systemd calls the unit of a path, without its suffix: `srv-data` for `/srv/data`, as `systemd-escape -p` prints it."""
    parts = [part for part in path.split("/") if part]
    if not parts:
        return "-"
    text = "/".join(parts)
    letters = ("-" if byte == ord("/") else chr(byte) if byte in _UNESCAPED else f"\\x{byte:02x}" for byte in text.encode())
    escaped = "".join(letters)
    return f"\\x2e{escaped[1:]}" if escaped.startswith(".") else escaped
