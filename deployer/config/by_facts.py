"""What was made for one host, found again for others whose facts, of those that were read, are the same."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from deployer.config.host_view import MISSING, HostView

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Known(Generic[_T]):
    """Something that was made for another host, and the names of the facts that it was made from."""

    made: _T
    facts: frozenset[str]


class ByFacts(Generic[_T]):
    """What was made for hosts, found again for those whose facts are the same."""

    def __init__(self, limit: int | None = None) -> None:
        """The oldest beyond the `limit` are forgotten."""
        self._limit = limit
        self._made: dict[tuple[str, ...], dict[str, _T]] = {}

    def find(self, host: HostView) -> Known[_T] | None:
        """What was made from facts that this host has too."""
        for names, by_values in self._made.items():
            found = by_values.get(values_of(host, names))
            if found is not None:
                return Known(found, frozenset(names))
        return None

    def keep(self, host: HostView, facts: Collection[str], made: _T) -> None:
        """Keep what was made from some of a host's facts."""
        names = tuple(sorted(facts))
        by_values = self._made.setdefault(names, {})
        by_values[values_of(host, names)] = made
        if self._limit is not None and len(by_values) > self._limit:
            del by_values[next(iter(by_values))]


def values_of(host: HostView, names: Sequence[str]) -> str:
    """A host's values of some facts, so that equal ones are of equal type too: 1 is not true."""
    if not names:
        return ""
    values = [host.read(name) for name in names]
    return json.dumps([None if value is MISSING else [value] for value in values], sort_keys=True, default=repr)
