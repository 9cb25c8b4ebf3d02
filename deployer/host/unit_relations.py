"""What a change of some units means for others: those that stop with them, are pulled in by them, or cannot run beside them.

systemd does all of this by itself as it carries a job out. Here it is foretold, so that the plan says it, and so that what
was stopped only along with another unit runs again afterwards. Pure.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Callable, Collection, Dict, Final, Iterator, List, Mapping, Set, Tuple

from deployer.formats.manifest import Unit
from deployer.host.unit_files import UnitFile, declared
from deployer.host.unit_names import is_template, template_of

Bonds = Mapping[str, Collection[str]]
"""A unit to those that systemd stops, and restarts, along with it."""

_STOPS_WITH: Final = ("Requires", "Requisite", "BindsTo", "PartOf", "StopPropagatedFrom")
_PULLS_IN: Final = ("Requires", "BindsTo", "Wants", "Upholds")
_OF_SLICES: Final = ("Service", "Socket", "Mount", "Swap")


@dataclass
class Draft:
    """Decisions under way, with the first reason of each."""

    stop: Set[str] = dataclasses.field(default_factory=set)
    reload: Set[str] = dataclasses.field(default_factory=set)
    restart: Set[str] = dataclasses.field(default_factory=set)
    start: Set[str] = dataclasses.field(default_factory=set)
    implied: Set[str] = dataclasses.field(default_factory=set)
    """Of `restart`, those that systemd restarts along with others, and not where we ask it to."""
    along: Set[str] = dataclasses.field(default_factory=set)
    """Of `restart`, those that systemd restarts along with others, and would where we ask it to."""
    skip: Dict[str, str] = dataclasses.field(default_factory=dict)
    reasons: Dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, to: Set[str], name: str, reason: str) -> None:
        """Put a unit into one of the sets."""
        to.add(name)
        self.reasons.setdefault(name, reason)

    @property
    def begun(self) -> Set[str]:
        """What has a job that starts it."""
        return self.start | self.restart


def carry(draft: Draft, following: Mapping[str, Unit], active: Collection[str], bound: Bonds) -> None:
    """Add what systemd does to other units when it does what the draft says. `bound` is as it is loaded now."""
    instances = {name for name in active if template_of(name) in following}
    files = {name: UnitFile.of(unit) for name, unit in _whole(following, {*following, *instances})}
    _carry_conflicts(draft, files, active)
    _carry_stops(draft, following, active, bound)
    _carry_restarts(draft, following, files, active, bound)
    _carry_starts(draft, following, active)


def stops_with(unit: Unit) -> Collection[str]:
    """The units whose stop or restart takes this one along, as its own text says."""
    return _named(unit.name, UnitFile.of(unit), _STOPS_WITH)


def pulls_in(unit: Unit) -> Tuple[str, ...]:
    """What a start of the unit starts too, where it does not run."""
    file = UnitFile.of(unit)
    slices = [word for section in _OF_SLICES for word in file.words(section, "Slice")]
    others = [*_named(unit.name, file, _PULLS_IN), *file.words("Service", "Sockets"), *slices]
    return tuple(dict.fromkeys(other for one in others for other in (one, *_slices_above(one))))


def _carry_conflicts(draft: Draft, files: Mapping[str, UnitFile], active: Collection[str]) -> None:
    for name in sorted(draft.begun & set(files)):
        for other in _named(name, files[name], ("Conflicts",)):
            if other in active and other not in draft.begun | draft.stop:
                draft.add(draft.stop, other, f"{name} conflicts with it")


def _carry_stops(draft: Draft, following: Mapping[str, Unit], active: Collection[str], bound: Bonds) -> None:
    """What goes down with others comes back, where it is to be active or where what it needs comes back."""
    for name, by in _spread(draft.stop, lambda name: set(bound.get(name, ())) & set(active)):
        draft.add(draft.stop, name, f"it stops with {by}")
        unit = declared(name, following)
        is_wanted = unit is not None and unit.start and not unit.masked
        refuses = unit is not None and UnitFile.of(unit).flag("Unit", "RefuseManualStart", False)
        if name not in draft.restart and not refuses and (is_wanted or by in draft.begun):
            draft.start.add(name)


def _carry_restarts(
    draft: Draft, following: Mapping[str, Unit], files: Mapping[str, UnitFile], active: Collection[str], bound: Bonds
) -> None:
    """By then the new definitions are loaded; those with a text of ours tell all that the unit is bound to."""
    ours = {name for name, unit in _whole(following, files) if unit.text}
    after: Dict[str, Set[str]] = {}
    for name, file in files.items():
        for other in _named(name, file, _STOPS_WITH):
            after.setdefault(other, set()).add(name)

    def bonds(name: str) -> Set[str]:
        return ((set(bound.get(name, ())) - ours) | after.get(name, set())) & set(active)

    for name, by in _spread(draft.restart - draft.stop, bonds):
        if name not in draft.stop:
            draft.add(draft.restart, name, f"it restarts with {by}")
            if name in files and _refuses(files[name]):
                draft.implied.add(name)
    draft.along |= _followers(draft.restart - draft.stop, bonds) - draft.implied


def _followers(names: Collection[str], bonds: Callable[[str], Collection[str]]) -> Set[str]:
    """Those that go along with one that does not itself: of units that are bound to each other, one leads."""
    reached = {name: {other for other, _ in _spread([name], bonds)} for name in names}
    leaders = set(names)
    for name in sorted(names):
        if any(name in reached[other] for other in leaders - {name}):
            leaders.discard(name)
    return set(names) - leaders


def _carry_starts(draft: Draft, following: Mapping[str, Unit], active: Collection[str]) -> None:
    def bonds(name: str) -> Set[str]:
        unit = declared(name, following)
        return {other for other in pulls_in(unit) if _starts_with(other)} if unit is not None else set()

    def _starts_with(name: str) -> bool:
        unit = declared(name, following)
        if unit is None or unit.masked or is_template(name) or (name in active and name not in draft.stop):
            return False
        return not UnitFile.of(unit).flag("Unit", "RefuseManualStart", False)

    for name, by in _spread(draft.begun, bonds):
        draft.add(draft.start, name, f"{by} needs or wants it")


def _spread(roots: Collection[str], bonds: Callable[[str], Collection[str]]) -> Iterator[Tuple[str, str]]:
    """Each unit that bonds lead to from the roots, with the one that leads there. Nearest first, and no root."""
    known, todo = set(roots), sorted(roots)
    while todo:
        following: List[str] = []
        for name in todo:
            for other in sorted(set(bonds(name)) - known):
                known.add(other)
                following.append(other)
                yield other, name
        todo = following


def _refuses(file: UnitFile) -> bool:
    return file.flag("Unit", "RefuseManualStop", False) or file.flag("Unit", "RefuseManualStart", False)


def _whole(following: Mapping[str, Unit], names: Collection[str]) -> Iterator[Tuple[str, Unit]]:
    for name in names:
        unit = declared(name, following)
        if unit is not None and not is_template(name):
            yield name, unit


def _named(name: str, file: UnitFile, keys: Collection[str]) -> List[str]:
    words = [word for key in keys for word in file.words("Unit", key)]
    return [other for other in (_resolve(word, name) for word in words) if "%" not in other]


def _resolve(word: str, name: str) -> str:
    """The specifiers that names of units are made of."""
    if "%" not in word:
        return word
    stem = name.rpartition(".")[0]
    prefix, _, instance = stem.partition("@")
    for letter, value in (("n", name), ("N", stem), ("p", prefix), ("i", instance), ("j", prefix.rpartition("-")[2])):
        word = word.replace(f"%{letter}", value)
    return word


def _slices_above(name: str) -> Iterator[str]:
    """`a.slice` for `a-b.slice`."""
    stem, _, kind = name.rpartition(".")
    if kind == "slice":
        parts = stem.split("-")
        yield from ("-".join(parts[:depth]) + ".slice" for depth in range(len(parts) - 1, 0, -1))
