"""A `package-lock.json` as text and as entries, with the line of each for errors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from deployer.errors import Place
from deployer.packages.errors import PackageInvalid

AGAIN: Final = "Restore it from version control, or run 'npm install --package-lock-only'."
ROOT: Final = ""
"""The key of the project itself."""
_VERSIONS: Final = (2, 3)
_STRING: Final = re.compile(r'(?P<text>"(?:[^"\\]|\\.)*")(?P<colon>\s*:)?')
"""A string of JSON, and whether it is a key."""

Entry = Mapping[str, Any]


class _KeyTwice(ValueError):
    """A key stands twice in one object."""


@dataclass(frozen=True)
class NpmLock:
    """The lock file that the package `asker` names."""

    asker: str
    path: Path
    text: str

    @classmethod
    def read(cls, asker: str, path: Path, place: Place | None) -> NpmLock:
        """`place` is where it is named. Raises `PackageInvalid`."""
        try:
            return cls(asker, path, path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            hint = "A path is relative to packages.yaml: correct it, or run 'npm install --package-lock-only' there."
            raise PackageInvalid(asker, f"there is no {path}", place, hint) from None
        except (OSError, UnicodeDecodeError) as error:
            raise PackageInvalid(asker, f"{path} cannot be read: {error}", place, AGAIN) from None

    def place_of(self, key: str) -> Place:
        """The line of the entry of that key; the whole file where there is none."""
        return Place(str(self.path), self._lines.get(json.dumps(key, ensure_ascii=False), 0) if key else 0)

    @cached_property
    def _lines(self) -> Mapping[str, int]:
        """Each key, in its quotes → the line where it stands first."""
        found: dict[str, int] = {}
        line = at = 0
        for match in _STRING.finditer(self.text):
            line, at = line + self.text.count("\n", at, match.start()), match.start()
            if match["colon"]:
                found.setdefault(match["text"], line + 1)
        return found

    def refuse(self, reason: str, hint: str, *, key: str = ROOT) -> PackageInvalid:
        """The error that something in it cannot be used."""
        return PackageInvalid(self.asker, reason, self.place_of(key), hint)

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """Path in the project → what is locked there; the project itself is at `ROOT`. Raises `PackageInvalid`."""
        try:
            document = json.loads(self.text, object_pairs_hook=_once)
        except json.JSONDecodeError as error:
            place = Place(str(self.path), error.lineno, error.colno)
            raise PackageInvalid(self.asker, f"it is not JSON: {error.msg}", place, AGAIN) from None
        except _KeyTwice as error:
            raise self.refuse(f"the key {error} stands twice in it", AGAIN, key=str(error)) from None
        except RecursionError:
            raise self.refuse("it is nested too deeply", AGAIN) from None
        if not isinstance(document, dict) or document.get("lockfileVersion") not in _VERSIONS:
            version = document.get("lockfileVersion") if isinstance(document, dict) else None
            hint = "Run 'npm install --package-lock-only' with npm 7 or newer."
            known = " and ".join(map(str, _VERSIONS))
            raise self.refuse(f"its lockfileVersion is {version}, and we read {known}", hint, key="lockfileVersion")
        entries = document.get("packages")
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            raise self.refuse("its 'packages' is no mapping of packages", AGAIN, key="packages")
        return entries


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise _KeyTwice(next(name for name in names if names.count(name) > 1))
    return found
