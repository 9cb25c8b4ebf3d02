"""Whose a temporary name is: by a process that can be told from a later one that got the same number."""

from __future__ import annotations

import os
import re
from typing import Final, Optional, Tuple

_OWNED: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?-")
_START: Final = 19
"""Place of the time when a process began, in ticks since the boot, in what follows its name: proc(5), stat."""
_us: Tuple[int, str] = (0, "")


def owned(rest: str) -> str:
    """A name that is ours as long as this process lives."""
    global _us  # noqa: PLW0603 - asked for each file of a store; a fork is another process
    if _us[0] != os.getpid():
        _us = (os.getpid(), f"{os.getpid()}.{_began(os.getpid()) or 0}")
    return f"{_us[1]}-{rest}"


def has_owner(name: str) -> bool:
    """Whether a name says whose it is."""
    return _OWNED.match(name) is not None


def is_abandoned(name: str) -> bool:
    """Whether a name says whose it is, and that process is no more."""
    match = _OWNED.match(name)
    if match is None:
        return False
    began = _began(int(match[1]))
    return began is None or match[2] not in (None, began)


def _began(process: int) -> Optional[str]:
    """When a process began; None where there is none."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    return text[text.rindex(b")") + 2 :].split()[_START].decode()
