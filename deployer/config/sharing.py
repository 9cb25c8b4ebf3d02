"""What hosts of one configuration share: values that were made from the same facts are made once.

Nothing here changes a result. A value is found again only where every fact that it was made from, through whatever it refers
to, is the same; a part of one only where its definitions are the very same.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deployer.config.by_facts import ByFacts, Known
from deployer.config.definitions import ABSENT, Definition, define, defined
from deployer.config.module import Contributed

MAX_VARIANTS: Final = 16
"""How many different values of one option are kept; those of more special options are rarely asked for again."""
MAX_PARTS: Final = 100_000
"""How many values within options are kept."""
_BY_VALUE: Final = 2
"""The version of marshal's format that equal values are equal in, whoever else refers to them."""


@dataclass(frozen=True, slots=True)
class OptionValue:
    """The value of an option, with the definitions that it was made from."""

    value: Any
    definitions: tuple[Definition, ...]


@dataclass(slots=True)
class Shared:
    """What the evaluations of one configuration's hosts leave for each other."""

    _options: dict[str, ByFacts[OptionValue]] = field(default_factory=dict)
    _merged: dict[str, tuple[tuple[Definition, ...], Any]] = field(default_factory=dict)
    _defined: dict[Contributed, dict[str, tuple[bytes, Definition]]] = field(default_factory=dict)

    def option(self, path: str) -> ByFacts[OptionValue]:
        """The values of an option."""
        found = self._options.get(path)
        if found is None:
            found = self._options[path] = ByFacts(MAX_VARIANTS)
        return found

    def find_merged(self, path: str, definitions: Sequence[Definition]) -> Known[Any] | None:
        """What stands at a path within an option, if it was made from these definitions and from no fact of a host."""
        found = self._merged.get(path)
        if found is None or len(found[0]) != len(definitions):
            return None
        same = all(one is other for one, other in zip(found[0], definitions, strict=True))
        return Known(found[1], frozenset()) if same else None

    def keep_merged(self, path: str, definitions: Sequence[Definition], value: Any) -> None:
        """Keep what was made from some definitions, and from no fact of a host."""
        if len(self._merged) >= MAX_PARTS:
            self._merged.clear()
        self._merged[path] = (tuple(definitions), value)

    def defined(self, contributed: Contributed, value: Any) -> list[Definition]:
        """What a module defines: names whose values are those of the last host get the same definitions."""
        if type(value) is not dict or not all(type(name) is str for name in value):
            return defined(value, contributed.place)
        earlier, kept = self._defined.get(contributed, {}), {}
        parts: dict[str, Definition] = {}
        for name, item in value.items():
            if item is ABSENT:
                continue
            try:
                written = marshal.dumps(item, _BY_VALUE)
            except ValueError:
                parts[name] = define(item, contributed.place)
                continue
            known = earlier.get(name)
            if known is None or known[0] != written:
                known = written, define(item, contributed.place)
            kept[name] = known
            parts[name] = known[1]
        self._defined[contributed] = kept
        return [Definition(parts, contributed.place, literal=True)]
