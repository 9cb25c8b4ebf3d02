"""What a transaction tells: one JSON document a line, for the connection that follows it and for the one that comes later.

Telling is never worth a deployment: on a full disk the lines are dropped, and the outcome is made from the journal.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, Dict, Final, List, Tuple

from deployer.errors import JsonValue
from deployer.formats.messages import Action, CheckResult
from deployer.host.disk import Disk
from deployer.host.paths import EVENTS

MAX_LOG_LINE: Final = 2000


class EventLog:
    """Written by whoever drives, read by whoever follows."""

    def __init__(self, disk: Disk) -> None:
        """Below the root of `disk`; lines are not synced, because nothing depends on them."""
        self._path = disk.root / EVENTS.lstrip("/")

    def tell(self, document: Dict[str, JsonValue]) -> None:
        """Add a line."""
        with contextlib.suppress(OSError), open(self._path, "ab") as file:
            file.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")

    def state(self, state: str) -> None:
        """A state was entered."""
        self.tell({"state": state})

    def action(self, action: Action) -> None:
        """Something was done to the host."""
        self.tell({"action": action.to_document()})

    def check(self, result: CheckResult) -> None:
        """A check ended."""
        self.tell({"check": result.to_document()})

    def log(self, line: str) -> None:
        """A line of the journal of what failed."""
        self.tell({"log": line[:MAX_LOG_LINE]})

    def read(self, offset: int = 0) -> Tuple[List[Dict[str, Any]], int]:
        """The whole lines from `offset` on, and the offset after them."""
        try:
            with open(self._path, "rb") as file:
                file.seek(offset)
                data = file.read()
        except OSError:
            return [], offset
        end = data.rfind(b"\n") + 1
        documents: List[Dict[str, Any]] = []
        for line in data[:end].splitlines():
            with contextlib.suppress(ValueError):
                document = json.loads(line)
                if isinstance(document, dict):
                    documents.append(document)
        return documents, offset + end

    def summary(self) -> Tuple[Tuple[Action, ...], Tuple[CheckResult, ...], Tuple[str, ...]]:
        """Actions, the last result of each check, and log lines, from the beginning."""
        actions: List[Action] = []
        checks: Dict[str, CheckResult] = {}
        log: List[str] = []
        for document in self.read()[0]:
            if "action" in document:
                actions.append(Action.from_document(document["action"]))
            elif "check" in document:
                result = CheckResult.from_document(document["check"])
                checks[result.name] = result
            elif "log" in document:
                log.append(str(document["log"]))
        return tuple(actions), tuple(checks.values()), tuple(log)
