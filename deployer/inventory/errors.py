"""What can be wrong with an inventory or a selector.

ConfigurationError
└── InventoryError        exit 2; every one names a place, unless it is about the command line
    ├── UnknownKey · WrongType · BadRange · BadHostName · BadGroupName · BadAddress · BadPort · BadUser · BadJump
    ├── BadHostKey · BadSshArguments · NotSupported · DuplicateHost · UnknownHost · UnknownGroup · GroupCycle
    ├── FileMissing · SourceUnreadable · ScriptFailed · LineNotUnderstood · NoHosts
    └── SelectorError
        └── EmptySelector · OnlyExclusions · BadSelector · NothingMatches · NothingSelected
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from deployer.errors import ConfigurationError, DeployerError, Place, near, raise_all


def did_you_mean(names: Iterable[str], otherwise: str) -> str:
    """`Did you mean …?` where there is a near miss."""
    listed = [f"`{name}`" for name in names]
    return f"Did you mean {' or '.join(listed)}?" if listed else otherwise


class Problems:
    """Collects errors, so that all of them are told together."""

    def __init__(self) -> None:
        """None yet."""
        self.errors: list[DeployerError] = []

    def add(self, error: DeployerError) -> None:
        """One more."""
        self.errors.append(error)

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note what the block raises, and go on after it."""
        try:
            yield
        except DeployerError as error:
            self.errors.append(error)

    def raise_all(self) -> None:
        """Raise them, if there are any."""
        raise_all(self.errors)


class InventoryError(ConfigurationError):
    """The inventory, or a selector, is wrong."""


class SelectorError(InventoryError):
    """A selector picks nothing, or can't be understood."""


class UnknownKey(InventoryError):
    """A key that means nothing where it stands."""

    place: Place
    key: str
    where: str
    known: tuple[str, ...]

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"{self.where} has no key `{self.key}`"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return did_you_mean(near(self.key, self.known), f"Known here: {', '.join(self.known)}.")


class WrongType(InventoryError):
    """A value of another type than its key wants."""

    place: Place
    what: str
    expected: str
    found: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"{self.what} is to be {self.expected}, and this is {self.found}"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return f"Write {self.expected}."


class BadRange(InventoryError):
    """A range of names that can't be expanded."""

    place: Place
    name: str
    reason: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"the range in '{self.name}' {self.reason}"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Ranges look like web[01:20], db[a:f] or node[0:100:10]: from the lower end to the higher, both included."


class BadHostName(InventoryError):
    """A host name that is no name."""

    place: Place
    name: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"{self.name!r} can't be the name of a host"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return (
            "A name is letters, digits, `.` and `-`, at most 253, and begins with a letter or digit; an IP address will do too."
        )


class BadGroupName(InventoryError):
    """A group name that is no name, or is taken."""

    place: Place
    name: str
    reason: str = "can't be the name of a group"

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"{self.name!r} {self.reason}"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        if self.name in {"all", "ungrouped"}:
            return "Write what holds for all hosts at the top of the inventory."
        return "A name is letters, digits, `_`, `.` and `-`, and begins with a letter, a digit or `_`."


class BadAddress(InventoryError):
    """An address that is neither a host name nor an IP address."""

    place: Place
    address: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"{self.address!r} is neither a host name nor an IP address"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Write the name or the address alone; port and user have keys of their own."


class BadPort(InventoryError):
    """A port that is none."""

    place: Place
    port: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"{self.port} is not a port"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Write a whole number from 1 to 65535."


class BadUser(InventoryError):
    """A login name that is none."""

    place: Place
    user: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"{self.user!r} can't be the name of a user"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "A user's name is letters, digits and `_ . @ + \\ $ -`, and does not begin with `-`."


class BadJump(InventoryError):
    """A jump host that can't be understood."""

    place: Place
    jump: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"{self.jump!r} is not a jump host"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Write HOST, USER@HOST, HOST:PORT or USER@HOST:PORT; several as a list, the nearest first."


class BadHostKey(InventoryError):
    """A pinned host key that is no public key."""

    place: Place
    key: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"{self.key[:60]!r} is not an SSH public key"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Copy the kind and the key from `ssh-keyscan HOST`: ssh-ed25519 AAAA…"


class BadSshArguments(InventoryError):
    """OpenSSH arguments that have no counterpart here."""

    place: Place
    variable: str
    reason: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"{self.variable}: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Put it into ~/.ssh/config under `Host`, where it is honoured, or remove it."


class NotSupported(InventoryError):
    """Something that Ansible does, and we do not."""

    place: Place
    what: str
    advice: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return self.what

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return self.advice


class DuplicateHost(InventoryError):
    """A host that stands twice in one file."""

    place: Place
    name: str
    first: Place

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"the host '{self.name}' stands twice; first in line {self.first.line}"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Keep one; what several hosts share belongs to a group."


class UnknownHost(InventoryError):
    """A group names a host that is not in the inventory."""

    place: Place
    name: str
    group: str
    near: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"the group '{self.group}' names the host '{self.name}', which is not in the inventory"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return did_you_mean(self.near, "Add it under `hosts`, or remove it here.")


class UnknownGroup(InventoryError):
    """A group names a child that is not in the inventory."""

    place: Place
    name: str
    near: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"there is no group '{self.name}'"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return did_you_mean(self.near, "Add the group, or remove its name here.")


class GroupCycle(InventoryError):
    """A group that is a part of itself."""

    place: Place
    groups: tuple[str, ...]

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"the group '{self.groups[0]}' is a part of itself: {' → '.join(self.groups)}"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Remove one of these from the children of the one before it."


class FileMissing(InventoryError):
    """A file that the inventory names is not there."""

    place: Place
    what: str
    path: Path

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"the file of `{self.what}` is missing: {self.path}"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Paths are relative to the directory of the inventory; create the file, or correct its path."


class SourceUnreadable(InventoryError):
    """An inventory that can't be read at all."""

    place: Place
    reason: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"the inventory can't be read: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Check the path given by -i, and who may read it."


class ScriptFailed(InventoryError):
    """An executable inventory that gave no inventory."""

    place: Place
    reason: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"the inventory's program gave no inventory: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return f"Run `{self.place.file} --list`: it must print one JSON object, as Ansible's inventory programs do."


class LineNotUnderstood(InventoryError):
    """A line of an INI inventory that is not of that format."""

    place: Place
    reason: str
    advice: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return self.reason

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return self.advice


class NoHosts(InventoryError):
    """An inventory without hosts."""

    sources: tuple[str, ...]

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"there are no hosts in {', '.join(self.sources)}" if self.sources else "no inventory was given"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Name hosts under `hosts:`." if self.sources else "Give one by `-i FILE`."


class EmptySelector(SelectorError):
    """A selector that says nothing."""

    @property
    def message(self) -> str:
        """What is wrong."""
        return "the selector is empty"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Write `all` where you mean all hosts."


class OnlyExclusions(SelectorError):
    """A selector that has nothing to take away from."""

    selector: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"the selector '{self.selector}' takes away from nothing"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return f"Say from what, for example `all:{self.selector.lstrip(':, ')}`."


class BadSelector(SelectorError):
    """A selector that can't be understood."""

    selector: str
    reason: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"the selector '{self.selector}' can't be understood: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Selectors look like web1, web*, @group, zone=a, ~regex, @group[0]; joined by `,`, `:&` and `:!`."


class NothingMatches(SelectorError):
    """A part of a selector that matches no host."""

    part: str
    near: tuple[str, ...] = ()
    hint: str = ""

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"'{self.part}' matches no host"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return self.hint or did_you_mean(self.near, "See `deployer inventory --graph` for what there is.")


class NothingSelected(SelectorError):
    """A selector whose parts match hosts, but that leaves none."""

    selector: str

    @property
    def message(self) -> str:
        """What is wrong."""
        return f"the selector '{self.selector}' leaves no host"

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return "Every part matches some hosts, but none is left after `:&` and `:!`."
