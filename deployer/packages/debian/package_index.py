"""What the `Packages` files of suites have: every version of every package, as far as somebody asks for it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from deployer.packages.debian.relations import Alternatives, Relation, parse_relations
from deployer.packages.debian.stanzas import deb_of, fields_of
from deployer.packages.debian.version import DebianVersion
from deployer.packages.lockfile import LockedDeb

_NAME: Final = re.compile(rb"Package: (\S+)\n")
_PRIORITIES: Final = ("required", "important", "standard", "optional", "extra")


@dataclass(frozen=True, slots=True, eq=False)
class DebianPackage:
    """One version of a package; an index has each only once."""

    deb: LockedDeb
    version: DebianVersion
    needs: tuple[Alternatives, ...]
    refuses: tuple[tuple[str, Relation], ...]
    """What it can't be beside, with the field that says so: `Conflicts` or `Breaks`."""
    provides: tuple[Relation, ...]
    rank: tuple[int, int]
    """Of several that provide the same, the least is taken: essential ones, then by priority."""
    suite_priority: int
    """Of its suite, as apt counts: 500; 100 or 1 where Release says that nothing of it is taken by itself."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.deb.name

    def __str__(self) -> str:
        """For people."""
        return f"{self.name} {self.version}"

    def provided(self, name: str) -> tuple[Relation, ...]:
        """As what it is something of another name."""
        return tuple(one for one in self.provides if one.name == name)


class DebianIndex:
    """The packages of one architecture in some suites."""

    def __init__(self, files: Iterable[tuple[bytes, int]], architecture: str) -> None:
        """`files`: `Packages` files, each with the priority of its suite."""
        self._architecture = architecture
        self._stanzas: dict[str, list[tuple[bytes, int]]] = {}
        self._providing: dict[str, set[str]] = {}
        self._parsed: dict[str, tuple[DebianPackage, ...]] = {}
        for content, priority in files:
            for stanza in content.split(b"\n\n"):
                match = _NAME.search(stanza)
                if match is None:
                    continue
                name = match[1].decode(errors="replace")
                self._stanzas.setdefault(name, []).append((stanza, priority))
                if (at := stanza.find(b"\nProvides:")) >= 0:
                    line = stanza[at + 10 : stanza.find(b"\n", at + 1) + 1 or None].decode(errors="replace")
                    for provided, *_ in filter(None, parse_relations(line, architecture)):
                        self._providing.setdefault(provided.name, set()).add(name)

    def without(self, names: Collection[str]) -> DebianIndex:
        """The same as if it did not have packages of these names."""
        other = DebianIndex((), self._architecture)
        other._stanzas = {name: stanzas for name, stanzas in self._stanzas.items() if name not in names}
        other._providing = {name: providing.difference(names) for name, providing in self._providing.items()}
        return other

    @property
    def names(self) -> Collection[str]:
        """Of all packages, but not of what they provide."""
        return self._stanzas.keys()

    def versions(self, name: str) -> tuple[DebianPackage, ...]:
        """All versions of a package, the one that apt would take first."""
        if name not in self._parsed:
            stanzas = self._stanzas.get(name, ())
            found = [_parse(stanza.decode(errors="replace"), priority, self._architecture) for stanza, priority in stanzas]
            # The same .deb may be in several suites: it is of the first.
            usable = {(one.version.text, one.deb.sha256): one for one in reversed(found) if one is not None}
            ordered = sorted(usable.values(), key=lambda one: (one.suite_priority, one.version), reverse=True)
            self._parsed[name] = tuple(ordered)
        return self._parsed[name]

    def providers(self, relation: Relation) -> tuple[DebianPackage, ...]:
        """The versions of packages of other names that are this too, the one to take first."""
        found = [
            package
            for name in self._providing.get(relation.name, ())
            for package in self.versions(name)
            if name != relation.name and any(relation.admits(one.version) for one in package.provided(relation.name))
        ]
        return tuple(sorted(found, key=lambda one: (-one.suite_priority, one.rank, one.name)))

    def admitted(self, relation: Relation) -> tuple[DebianPackage, ...]:
        """What a relation means: versions of the package itself, then others that provide it."""
        own = tuple(one for one in self.versions(relation.name) if relation.admits(one.version))
        return (*own, *self.providers(relation))


def _parse(text: str, priority: int, architecture: str) -> DebianPackage | None:
    """A stanza; None where it is of another architecture, or lacks what pins a .deb."""
    fields = fields_of(text)
    try:
        deb = deb_of(fields)
    except (KeyError, ValueError):
        return None
    if deb.architecture not in (architecture, "all"):
        return None

    def relations(*names: str) -> tuple[Alternatives, ...]:
        return tuple(group for name in names for group in parse_relations(fields.get(name, ""), architecture))

    word = fields.get("Priority", "optional")
    return DebianPackage(
        deb,
        DebianVersion.parse(deb.version),
        needs=relations("Pre-Depends", "Depends"),
        refuses=tuple((name, one) for name in ("Conflicts", "Breaks") for group in relations(name) for one in group),
        provides=tuple(one for group in relations("Provides") for one in group),
        rank=(
            0 if fields.get("Essential") == "yes" else 1,
            _PRIORITIES.index(word) if word in _PRIORITIES else len(_PRIORITIES),
        ),
        suite_priority=priority,
    )
