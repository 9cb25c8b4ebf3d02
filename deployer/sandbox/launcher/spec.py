"""What a program is to find around it, and its variables."""

from __future__ import annotations

import json
from typing import Any, Dict, Final, Mapping, NamedTuple, Optional, Tuple

_PATH: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_DROPPED: Final = frozenset({"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "LOCPATH"})
"""Variables that would bring the machine's libraries into a program of the tree."""


class Spec(NamedTuple):
    """What a program is to find around it."""

    root: str = ""
    """The store path of the tree; empty: the machine's own `/usr` stays."""
    store_directory: str = "/nix/store"
    store: str = ""
    """Where the store really lies; empty: there."""
    path: Tuple[str, ...] = ()
    """Directories that come first in PATH."""
    environment: Optional[Mapping[str, str]] = None
    """Variables that are set."""
    keep: Optional[Tuple[str, ...]] = None
    """The only variables that stay as they are; None: all do."""
    etc: Tuple[str, ...] = ()
    """More names in `/etc` that are the machine's first."""

    def __str__(self) -> str:
        """As JSON."""
        return json.dumps({name: value for name, value in self._asdict().items() if value not in ("", (), None)}, sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Spec:
        """From JSON, or from a file of it. Raises `ValueError`, `OSError`."""
        if text.startswith("/"):
            with open(text, encoding="utf-8") as file:
                text = file.read()
        known = json.loads(text)
        given: Dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
        return cls(**given)

    def physical(self, path: str) -> str:
        """Where a path of the store really is."""
        inside = path.startswith(f"{self.store_directory}/")
        return self.store + path[len(self.store_directory) :] if self.store and inside else path


def variables(spec: Spec, given: Mapping[str, str]) -> Dict[str, str]:
    """The environment of the program."""
    kept = given if spec.keep is None else {name: value for name, value in given.items() if name in spec.keep}
    path = [*spec.path, *_PATH]
    if spec.keep is None:
        path += [item for item in given.get("PATH", "").split(":") if item and item not in path]
    result = {name: value for name, value in kept.items() if name not in _DROPPED or not spec.root}
    result.update({"PATH": ":".join(path), **(spec.environment or {})})
    return result
