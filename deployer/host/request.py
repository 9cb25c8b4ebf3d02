"""One request of a controller, and how an error is told to it."""

from __future__ import annotations

from typing import Dict, Final, List, Optional

from deployer.errors import DeployerError, DeploymentError, JsonValue
from deployer.host.refusals import RequestRefused

Answer = Dict[str, JsonValue]
UNEXPECTED: Final = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, MemoryError)
"""What a request may end with that is no error of ours: told as `HostFailed`."""


class Request:
    """One request, whose fields are checked as they are asked for."""

    def __init__(self, document: Answer) -> None:
        """`id` and `verb` belong to the protocol, all else to the verb."""
        self._document = document
        number = document.get("id")
        self.id = number if isinstance(number, int) and not isinstance(number, bool) else 0

    @property
    def is_stream(self) -> bool:
        """Whether pieces of a stream follow it."""
        return self._document.get("verb") == "import"

    def rest(self) -> Answer:
        """All that belongs to the verb."""
        return {key: value for key, value in self._document.items() if key not in ("id", "verb")}

    def has(self, key: str) -> bool:
        """Whether there is such a field."""
        return key in self._document

    def string(self, key: str, *, missing: Optional[str] = None) -> str:
        """A field that must be a string; `missing` where it may be left out, and is."""
        value = self._document.get(key, missing)
        if not isinstance(value, str):
            raise RequestRefused(f"{key} is not a string")
        return value

    def number(self, key: str) -> int:
        """A field that must be a whole number, not negative; 0 where it is missing."""
        value = self._document.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise RequestRefused(f"{key} is not a number")
        return value

    def flag(self, key: str) -> bool:
        """A field that is true or false; false where it is missing."""
        value = self._document.get(key, False)
        if not isinstance(value, bool):
            raise RequestRefused(f"{key} is neither true nor false")
        return value

    def strings(self, key: str) -> List[str]:
        """A field that must be a list of strings; empty where it is missing."""
        value = self._document.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise RequestRefused(f"{key} is not a list of strings")
        return [str(item) for item in value]

    def texts(self, key: str) -> Dict[str, str]:
        """A field that must be an object of strings."""
        value = self._document.get(key)
        if not isinstance(value, dict):
            raise RequestRefused(f"{key} is not an object")
        found = {name: text for name, text in value.items() if isinstance(text, str)}
        if len(found) != len(value):
            raise RequestRefused(f"{key} holds something that is not a string")
        return found

    def documents(self, key: str) -> List[JsonValue]:
        """A field that must be a list."""
        value = self._document.get(key)
        if not isinstance(value, list):
            raise RequestRefused(f"{key} is not a list")
        return value


def told(error: DeployerError) -> Answer:
    """An error on the wire: the controller ends with the exit code that it has here."""
    return {**error.to_json(), "exit_code": int(error.exit_code)}


class HostFailed(DeploymentError):
    """The host's operating system refused something, or we made a mistake."""

    error: BaseException
    """Only its kind and its words go on the wire."""

    @property
    def message(self) -> str:
        """What the host said."""
        return f"the host could not do it: {f'{type(self.error).__name__}: {self.error}'[:500]}"

    @property
    def remedy(self) -> str:
        """Where to look."""
        return "If the disk is full or read-only, mend that; otherwise report it with the host's distribution."
