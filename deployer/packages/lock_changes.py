"""What differs between two locks, for people who read a diff before they commit it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from deployer.formats import StorePath
from deployer.packages.lockfile import Lock, LockedAttribute, LockedDeb, LockedDebian, LockedWheels, WheelPin


@dataclass(frozen=True, slots=True)
class LockChange:
    """One input of one package that is pinned otherwise than before."""

    package: str
    """Of packages.yaml."""
    input: str
    """A Debian package, `index SUITE`, a Python project, or an attribute of a Nix expression."""
    before: str
    """Its version, date or name in the store; empty where it was not pinned."""
    after: str
    """The same; empty where it no longer is."""

    def __str__(self) -> str:
        """For people: `+` where it is new, `-` where it is gone."""
        if self.before and self.after:
            return f"  {self.input}  {self.before} → {self.after}"
        return f"+ {self.input}  {self.after}" if self.after else f"- {self.input}  {self.before}"


def lock_changes(before: Lock, after: Lock) -> tuple[LockChange, ...]:
    """All changes from one lock to another, by package and input; indexes come first."""
    nothing = LockedDebian((), (), "", ())
    changes: list[LockChange] = []
    for package in sorted({*before.debian, *after.debian}):
        old, new = before.debian.get(package, nothing), after.debian.get(package, nothing)
        changes += _differences(package, _dates(old), _dates(new))
        changes += _differences(package, _versions(old.debs), _versions(new.debs))
    no_wheels = LockedWheels(())
    for package in sorted({*before.python, *after.python}):
        was, now = before.python.get(package, no_wheels), after.python.get(package, no_wheels)
        changes += _differences(package, _versions(was.wheels), _versions(now.wheels))
    for package in sorted({*before.nix, *after.nix}):
        changes += _differences(package, _names(before.nix.get(package)), _names(after.nix.get(package)))
    return tuple(changes)


def _differences(package: str, old: Mapping[str, tuple[str, str]], new: Mapping[str, tuple[str, str]]) -> Iterator[LockChange]:
    for name in sorted({*old, *new}):
        (before, old_hash), (after, new_hash) = old.get(name, ("", "")), new.get(name, ("", ""))
        if old_hash != new_hash:
            yield LockChange(package, name, before, f"{after} (other content)" if before == after else after)


def _dates(locked: LockedDebian) -> dict[str, tuple[str, str]]:
    return {f"index {index.suite}": (index.date, index.sha256) for index in locked.indexes}


def _names(locked: LockedAttribute | None) -> dict[str, tuple[str, str]]:
    return {} if locked is None else {locked.attribute: (StorePath.parse_base(locked.path.rpartition("/")[2]).name, locked.path)}


def _versions(items: Iterable[LockedDeb | WheelPin]) -> dict[str, tuple[str, str]]:
    return {item.name: (item.version, item.sha256) for item in items}
