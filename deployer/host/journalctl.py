"""The one door to the host's journal, through journalctl. To most who ask, one that can't be read is an empty one."""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import Final, List, Mapping, Sequence, Tuple

from deployer.errors import DeployerError, DeploymentError
from deployer.host.process import one_line, run

MAX_LOG_LINE: Final = 500
"""Characters of a line that is shown."""
MAX_SEARCHED_LINE: Final = 4000
_SYNCING: Final = 5.0
"""Seconds for what programs have just said to be there."""


class JournalUnreadable(DeploymentError):
    """The host keeps no journal, or it can't be read."""

    @property
    def message(self) -> str:
        """That."""
        return "the journal can't be read, or there is none"


def log_of_last_run(unit: str, lines: int) -> List[str]:
    """The last lines of a unit's last run."""
    fields = "--output-fields=MESSAGE,INVOCATION_ID,_SYSTEMD_INVOCATION_ID"
    output = _ask(["--boot", f"--lines={lines}", "--output=json", fields, f"--unit={unit}"])
    entries: List[Mapping[str, object]] = []
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            entries.append(json.loads(line))
    return last_run(entries)


def log_of_user_unit(unit: str, uid: int, lines: int) -> List[str]:
    """The last lines of a unit of one user's systemd."""
    output = _ask(["--output=cat", f"--lines={lines}", "--boot", f"_SYSTEMD_USER_UNIT={unit}", f"_UID={uid}"])
    return [one_line(line, MAX_LOG_LINE) for line in output.splitlines() if line.strip()]


def cursor() -> str:
    """Where the journal ends now; empty where it cannot be read."""
    found = re.search(r'"__CURSOR"\s*:\s*"([^"]+)"', _ask(["--lines=1", "--output=json"]))
    return found.group(1) if found else ""


def messages_after(after: str, *, unit: str = "", timeout: float) -> Tuple[Sequence[str], str]:
    """The messages after a cursor (empty: of this boot), perhaps of one unit, and the cursor of the last.

    Where they are very many, the first ones: the next call gives more. Raises where the journal can't be read.
    """
    deadline = time.monotonic() + timeout
    with contextlib.suppress(DeployerError):
        run(["journalctl", "--sync"], timeout=timeout / 2, check=False)
    since = f"--after-cursor={after}" if after else "--boot"
    arguments = ["--no-pager", "--quiet", "--output=json", "--output-fields=MESSAGE", since]
    chosen = [f"--unit={unit}"] if unit else []
    output = run(["journalctl", *arguments, *chosen], timeout=max(deadline - time.monotonic(), 0.1)).text
    messages: List[str] = []
    last = after
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            last = str(entry.get("__CURSOR", last))
            messages.append(_message(entry, MAX_SEARCHED_LINE))
    if not messages and not cursor():
        raise JournalUnreadable
    return messages, last


def last_run(entries: Sequence[Mapping[str, object]]) -> List[str]:
    """The messages of the last run in a unit's journal. A program that ends at once may leave lines that name no run."""
    runs = [entry.get("INVOCATION_ID") or entry.get("_SYSTEMD_INVOCATION_ID") for entry in entries]
    last = next((found for found in reversed(runs) if found), None)
    begins = runs.index(last) if last is not None else 0
    return [line for line in (_message(entry, MAX_LOG_LINE) for entry in entries[begins:]) if line]


def _message(entry: Mapping[str, object], limit: int) -> str:
    """Text; bytes where it is not UTF-8; nothing where it is too long for JSON."""
    message = entry.get("MESSAGE")
    if isinstance(message, list):
        message = bytes(byte for byte in message if isinstance(byte, int) and 0 <= byte < 256).decode(errors="replace")
    return one_line(message, limit) if isinstance(message, str) else ""


def _ask(arguments: Sequence[str]) -> str:
    try:
        run(["journalctl", "--sync"], timeout=_SYNCING, check=False)
        return run(["journalctl", "--no-pager", "--quiet", *arguments], check=False).text
    except DeployerError:
        return ""
