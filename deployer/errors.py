"""The root of every error that a user can do something about.

    DeployerError
    ├── ConfigurationError     exit 2: the inventory, a configuration, a package or the command line is wrong
    ├── DeploymentError        exit 1: something failed while building, copying or activating; nothing half-done remains
    ├── NeedsPersonError       exit 4: a host could not be brought back without a person
    └── ManyErrors             several of the above, reported together; exits with the gravest of them

A room derives its own errors from these, one class for each thing that a user can act on. A class has fields, declared as in a
dataclass, one `message` (what happened, and where) and one `remedy` (what to do next). Only `deployer.cli` prints them. This
module travels to hosts with `formats`, `store` and `host`: standard library only, Python 3.9 and up.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Final, List, Optional, Tuple, Union

from deployer.records import dataclass_transform

JsonValue = Union[None, bool, int, float, str, List["JsonValue"], Dict[str, "JsonValue"]]
_FAR_LESS: Final = 0.25
"""Of the likeness of two words, between 0 and 1."""


class ExitCode(enum.IntEnum):
    """What the process tells its caller, in order of gravity below `DONE` (DESIGN.md §11)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    NEEDS_PERSON = 4


@dataclass(frozen=True)
class Place:
    """Where in a file something stands. Lines and columns count from 1; 0 means "the whole file"."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """`file:line:column`, as compilers print it."""
        return ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])

    def to_json(self) -> Dict[str, JsonValue]:
        """Its three parts."""
        return {"file": self.file, "line": self.line, "column": self.column}


@dataclass_transform(eq_default=False)
class DeployerError(Exception):
    """Something that a user can do something about. Subclasses say what happened and what to do.

    The annotated names of a class and of its bases are its fields, and what the class gives one is its default. Real dataclasses
    would each have their methods compiled at every start, and there are hundreds of these, of which a run raises none.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED
    shows_its_line: ClassVar[bool] = True
    """Whether people are shown the line that it is about; not where that may hold a secret."""

    def __init__(self, *values: Any, **named: Any) -> None:
        """Take the fields' values, in the order of the fields or by name."""
        names = self._fields()
        given = {**dict(zip(names, values)), **named}
        missing = [name for name in names if name not in given and not hasattr(type(self), name)]
        if missing or len(values) > len(names) or len(given) != len(values) + len(named) or not given.keys() <= set(names):
            raise TypeError(f"{type(self).__name__} is made of {', '.join(names) or 'nothing'}")
        whole = [given[name] if name in given else getattr(type(self), name) for name in names]
        vars(self).update(zip(names, whole))
        super().__init__(*whole)

    @classmethod
    def _fields(cls) -> List[str]:
        annotations = [vars(base).get("__annotations__", {}) for base in reversed(cls.__mro__)]
        return list({name: None for found in annotations for name, kind in found.items() if "ClassVar" not in str(kind)})

    @property
    def message(self) -> str:
        """What happened, in one sentence, without place and host (those are fields)."""
        raise NotImplementedError(type(self).__name__)

    @property
    def remedy(self) -> str:
        """What to do next, in one sentence. Empty only where the message already says it."""
        return ""

    @property
    def location(self) -> Optional[Place]:
        """Where in the user's files it happened: a subclass's field `place`, where it has one."""
        place = getattr(self, "place", None)
        return place if isinstance(place, Place) else None

    @property
    def on_host(self) -> Optional[str]:
        """The host it happened on: a subclass's field `host`, where it has one."""
        host = getattr(self, "host", None)
        return str(host) if host else None

    def __str__(self) -> str:
        """Place, host and message on one line."""
        prefix = "".join(f"{part}: " for part in (self.location, self.on_host) if part)
        return prefix + self.message

    def to_json(self) -> Dict[str, JsonValue]:
        """The machine-readable form; keys that say nothing are left out."""
        place = self.location
        document: Dict[str, JsonValue] = {"error": type(self).__name__, "message": self.message}
        if self.remedy:
            document["remedy"] = self.remedy
        if self.on_host:
            document["host"] = self.on_host
        if place:
            document["place"] = place.to_json()
        return document


class ConfigurationError(DeployerError):
    """The user's files or command line are wrong; nothing was attempted."""

    exit_code = ExitCode.USAGE


class DeploymentError(DeployerError):
    """Something failed while building, copying or activating."""

    exit_code = ExitCode.FAILED


class NeedsPersonError(DeployerError):
    """A host is in a state that only a person can mend."""

    exit_code = ExitCode.NEEDS_PERSON


class ManyErrors(DeployerError):
    """Several errors that were found together and are told together."""

    def __init__(self, errors: Iterable[DeployerError]) -> None:
        """Flatten groups of groups, and drop what would be printed twice."""
        flat: List[DeployerError] = []
        for error in errors:
            flat.extend(error.errors if isinstance(error, ManyErrors) else [error])
        unique = {str(error): error for error in flat}
        self.errors: Tuple[DeployerError, ...] = tuple(unique.values())
        Exception.__init__(self, self.errors)

    @property
    def message(self) -> str:
        """The messages, one a line."""
        return "\n".join(str(error) for error in self.errors)

    @property
    def exit_code(self) -> ExitCode:  # type: ignore[override]
        """That of the gravest member."""
        return max((error.exit_code for error in self.errors), default=ExitCode.FAILED)

    def __str__(self) -> str:
        """The messages, one a line."""
        return self.message

    def to_json(self) -> Dict[str, JsonValue]:
        """All members."""
        return {"error": "ManyErrors", "errors": [error.to_json() for error in self.errors]}


def near(word: str, known: Iterable[str]) -> Tuple[str, ...]:
    """The known words that a misspelled one may have meant, at most three, the nearest first; none that is far less near."""
    import difflib

    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), list(by_lower), n=3, cutoff=0.6)
    likeness = {name: difflib.SequenceMatcher(None, name, word.lower()).ratio() for name in found}
    return tuple(by_lower[name] for name in found if likeness[name] >= likeness[found[0]] - _FAR_LESS)


def raise_all(errors: Iterable[DeployerError]) -> None:
    """Raise nothing for none, the error itself for one, `ManyErrors` for more."""
    found = list(errors)
    if len(found) == 1:
        raise found[0]
    if found:
        raise ManyErrors(found)
