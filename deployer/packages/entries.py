"""The entries of packages.yaml: plain values read key by key into recipes, with every fault noted where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from deployer.config.definitions import describe
from deployer.errors import DeployerError, Place, near
from deployer.packages.errors import PackageInvalid
from deployer.packages.kinds import KINDS
from deployer.packages.recipes import Recipe

_T = TypeVar("_T")
PACKAGE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9+._-]{0,99}")


class Entry:
    """One package of packages.yaml as plain values, read key by key. Every fault is noted; none stops the reading."""

    def __init__(self, name: str, raw: object, place_of: Callable[[str], Place | None], directory: Path) -> None:
        """`place_of` tells where a key stands; of the empty string, where the whole entry does."""
        self.name, self.directory, self.errors = name, directory, list[DeployerError]()
        self.below: Recipe | None = None
        self._place_of = place_of
        self._left: dict[str, object] = dict(raw) if isinstance(raw, Mapping) else {}
        if not isinstance(raw, Mapping):
            kinds = ", ".join(KINDS)
            self.fault("", f"it must be a mapping with the key 'kind', and is {describe(raw)}", f"The kinds are {kinds}.")
        elif not PACKAGE_NAME.fullmatch(name):
            self.fault("", "its name must be letters, digits and any of + . _ -", "Write it such as hello-1.2.")

    @property
    def is_change(self) -> bool:
        """Whether it changes a package that is there already, rather than being one."""
        return "kind" not in self._left

    def parse(self) -> Recipe | None:
        """The recipe; None where there are `errors`."""
        if self.errors:
            return None
        if "kind" not in self._left:
            self.fault("", "it lacks the key 'kind'", f"The kinds are {', '.join(KINDS)}.")
            return None
        kind = str(self._take("kind", None, object, "a word"))
        if kind not in KINDS:
            nearest = near(kind, KINDS)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"The kinds are {', '.join(KINDS)}."
            self.fault("kind", f"there is no kind {kind!r}", hint)
            return None
        return self._read(kind)

    def change(self, below: Recipe) -> Recipe | None:
        """The recipe `below` with what the entry says of it; None where there are `errors`. An entry is read once."""
        if self.errors:
            return None
        self.below = below
        return self._read(next(kind for kind, (made, _, _) in KINDS.items() if isinstance(below, made)))

    def _read(self, kind: str) -> Recipe | None:
        _, read, known = KINDS[kind]
        try:
            recipe = read(self)
        except ValueError:  # already noted; what was not read yet is no fault
            recipe = None
            self._left = {key: value for key, value in self._left.items() if key not in known}
        for key in self._left:
            nearest = near(key, known)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"The keys of this kind are {', '.join(known)}."
            if key in known:
                hint = "The archive is another package: say it there, or give a 'url' or a 'file' instead."
                self.fault(key, f"{key!r} means nothing here", hint)
            else:
                self.fault(key, f"kind {kind!r} has no key {key!r}", hint)
        return None if self.errors else recipe

    def has(self, *keys: str) -> bool:
        """Whether it says anything of one of these keys."""
        return any(key in self._left for key in keys)

    def either(self, key: str, read: Callable[[str], _T], field: str = "") -> _T:
        """What `read` makes of a key; where the entry does not have it, what the package below has in `field`."""
        if self.below is not None and not self.has(key):
            kept: _T = getattr(self.below, field or key)
            return kept
        return read(key)

    def path(self, key: str) -> Path:
        """A file or directory, relative to the file of the entry."""
        return self.directory / self.text(key)

    def place(self, key: str = "") -> Place | None:
        """Where a key stands."""
        return self._place_of(key)

    def fault(self, key: str, reason: str, hint: str = "") -> None:
        """Note an error."""
        self.errors.append(PackageInvalid(self.name, reason, self._place_of(key), hint))

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        return str(self._take(key, default, str, "a string"))

    def number(self, key: str, default: int) -> int:
        """A number from 0 on."""
        value = self._take(key, default, int, "a number")
        if isinstance(value, bool) or value < 0:
            self.fault(key, f"{key} must be a number from 0 on, and is {describe(value)}", "Write 0, 1, 2 …")
        return int(value)

    def boolean(self, key: str, default: bool) -> bool:
        """`true` or `false`."""
        return bool(self._take(key, default, bool, "true or false"))

    def strings(self, key: str, default: Iterable[str] | None = None) -> tuple[str, ...]:
        """A list of strings; one string stands for a list of one."""
        value = self._take(key, None if default is None else list(default), (list, str), "a list of strings")
        items = [value] if isinstance(value, str) else list(value)
        wrong = [item for item in items if not isinstance(item, str)]
        if wrong:
            reason = f"{key} must be a list of strings, and has {describe(wrong[0])}"
            self.fault(key, reason, "Put numbers and true/false in quotes.")
        return tuple(map(str, items))

    def mapping(self, key: str) -> dict[str, str]:
        """A mapping of strings."""
        value = self._take(key, {}, dict, "a mapping of strings")
        if not all(isinstance(item, str) for item in value.values()):
            self.fault(key, f"{key} must be a mapping of strings", "Put numbers and true/false in quotes.")
        return {str(name): str(item) for name, item in value.items()}

    def _take(self, key: str, default: Any, kinds: type | tuple[type, ...], what: str) -> Any:
        if key not in self._left:
            if default is None:
                self.fault("", f"it lacks the key {key!r}", f"Add `{key}`: {what}.")
                raise ValueError(key)
            return default
        value = self._left.pop(key)
        if not isinstance(value, kinds):
            self.fault(key, f"{key} must be {what}, and is {describe(value)}", f"Write {what}.")
            raise ValueError(key)
        return value
