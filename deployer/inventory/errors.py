"""What a user can get wrong in an inventory.

ConfigurationError
├── InventoryMissing       a source does not exist
├── KeyUnknown             a key means nothing where it stands
├── ValueWrong             a value is of the wrong type or out of bounds
├── NameRefused            no host or group can be called that
├── RangeWrong             `web[3:1]`
├── HostTwice              one file defines a host twice
├── HostUnknown            a group has a host that was not defined
├── GroupUnknown           a group has a child that was not defined
├── GroupCycle             a group is within itself
├── SourceFailed           a program did not print an inventory
└── SelectorWrong, SelectorMatchesNothing     see `selectors`
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from deployer.errors import ConfigurationError, Place


def near(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that are most like one that was mistyped."""
    return tuple(difflib.get_close_matches(name, list(names), n=3, cutoff=0.6))


def did_you_mean(names: Iterable[str], otherwise: str) -> str:
    """A question where there are near misses, a sentence where there are none."""
    quoted = [f"'{name}'" for name in names]
    return f"Did you mean {' or '.join(quoted)}?" if quoted else otherwise


@dataclass(eq=False)
class InventoryMissing(ConfigurationError):
    """A source does not exist."""

    source: str

    @property
    def message(self) -> str:
        """Which."""
        return f"there is no inventory '{self.source}'"

    @property
    def remedy(self) -> str:
        """How to name another."""
        return "Create it, or name another by `-i FILE` or the environment variable DEPLOYER_INVENTORY."


@dataclass(eq=False)
class KeyUnknown(ConfigurationError):
    """A key means nothing where it stands."""

    place: Place
    key: str
    where: str
    near: tuple[str, ...] = ()
    advice: str = ""

    @property
    def message(self) -> str:
        """Which, and in what."""
        return f"{self.where} has no key '{self.key}'"

    @property
    def remedy(self) -> str:
        """The nearest keys, or all of them."""
        return did_you_mean(self.near, self.advice)


@dataclass(eq=False)
class ValueWrong(ConfigurationError):
    """A value is of the wrong type or out of bounds."""

    place: Place
    key: str
    found: str
    expected: str

    @property
    def message(self) -> str:
        """The key, what it is, and what it is to be."""
        return f"{self.key}: {self.found} is not {self.expected}"

    @property
    def remedy(self) -> str:
        """What would do."""
        return f"Give {self.key} {self.expected}."


@dataclass(eq=False)
class NameRefused(ConfigurationError):
    """No host or group can be called that."""

    place: Place
    kind: str
    name: str
    advice: str

    @property
    def message(self) -> str:
        """Which."""
        return f"{self.name!r} can't be the name of a {self.kind}"

    @property
    def remedy(self) -> str:
        """What names are made of."""
        return self.advice


@dataclass(eq=False)
class RangeWrong(ConfigurationError):
    """A range of names can't be expanded."""

    place: Place
    text: str
    reason: str

    @property
    def message(self) -> str:
        """The range, and what is wrong with it."""
        return f"'{self.text}': {self.reason}"

    @property
    def remedy(self) -> str:
        """How ranges look."""
        return "Write web[1:20], web[01:20], web[a:f], or with a step web[1:9:2]; the first is never after the last."


@dataclass(eq=False)
class HostTwice(ConfigurationError):
    """One file defines a host twice."""

    place: Place
    name: str
    first: Place

    @property
    def message(self) -> str:
        """Which, and where before."""
        return f"the host '{self.name}' is defined twice; first at {self.first}"

    @property
    def remedy(self) -> str:
        """How to differ from a range."""
        return "Keep one. To differ from a range, put the common settings on a group."


@dataclass(eq=False)
class HostUnknown(ConfigurationError):
    """A group has a host that was not defined."""

    place: Place
    name: str
    group: str
    near: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """Which, and of what group."""
        return f"the group '{self.group}' has the host '{self.name}', which is not defined"

    @property
    def remedy(self) -> str:
        """The nearest names, or where to define it."""
        return did_you_mean(self.near, "Define it below the top-level key `hosts`.")


@dataclass(eq=False)
class GroupUnknown(ConfigurationError):
    """A group has a child that was not defined."""

    place: Place
    name: str
    group: str
    near: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """Which, and of what group."""
        return f"the group '{self.group}' has the child '{self.name}', which is not defined"

    @property
    def remedy(self) -> str:
        """The nearest names, or where to define it."""
        return did_you_mean(self.near, "Define it below the top-level key `groups`.")


@dataclass(eq=False)
class GroupCycle(ConfigurationError):
    """A group is within itself."""

    place: Place
    cycle: tuple[str, ...]

    @property
    def message(self) -> str:
        """The way round."""
        return f"groups contain each other: {' → '.join(self.cycle)}"

    @property
    def remedy(self) -> str:
        """What to remove."""
        return "Remove one of these `children`."


@dataclass(eq=False)
class SourceFailed(ConfigurationError):
    """A program that was given as an inventory did not print one."""

    place: Place
    reason: str

    @property
    def message(self) -> str:
        """What came instead."""
        return f"run with `--list` as an inventory program: {self.reason}"

    @property
    def remedy(self) -> str:
        """What such a program does; and what to do where it is none."""
        return "It must print a JSON object of groups. If it is no program, take away its executable bit: chmod -x."


@dataclass(eq=False)
class SelectorWrong(ConfigurationError):
    """A selector says nothing, or can't be read."""

    selector: str
    reason: str
    advice: str

    @property
    def message(self) -> str:
        """The selector, and what is wrong with it."""
        return f"the selector '{self.selector}' {self.reason}"

    @property
    def remedy(self) -> str:
        """How to write it."""
        return self.advice


@dataclass(eq=False)
class SelectorMatchesNothing(ConfigurationError):
    """A selector, or a part of one, matches no host."""

    selector: str
    atom: str
    near: tuple[str, ...] = ()
    advice: str = "`deployer inventory --graph` shows all hosts and groups."

    @property
    def message(self) -> str:
        """The part that matches nothing."""
        within = f" (in '{self.selector}')" if self.selector != self.atom else ""
        return f"'{self.atom}' matches no host{within}"

    @property
    def remedy(self) -> str:
        """The nearest names."""
        return did_you_mean(self.near, self.advice)
