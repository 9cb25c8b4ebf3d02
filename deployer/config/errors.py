"""What can be wrong with a configuration. Each error names the file, line and column, and what was expected there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from deployer.errors import ConfigurationError, Place


@dataclass(eq=False)
class UnknownOption(ConfigurationError):
    """A key that no module declares."""

    option: str
    place: Place | None
    known: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """Which."""
        return f"there is no option '{self.option}'"

    @property
    def remedy(self) -> str:
        """The nearest names."""
        return did_you_mean(self.option, self.known) or "See docs/reference/options.md, or `deployer option`."


@dataclass(eq=False)
class WrongType(ConfigurationError):
    """A value that is not of its option's type."""

    option: str
    expected: str
    found: str
    place: Place | None
    declared: Place | None = None

    @property
    def message(self) -> str:
        """What was expected, and what was found."""
        return f"option '{self.option}' must be {self.expected}, and is {self.found}"

    @property
    def remedy(self) -> str:
        """Where the option is declared."""
        return f"The option is declared at {self.declared}." if self.declared else ""


@dataclass(eq=False)
class Conflict(ConfigurationError):
    """Two definitions of equal priority that can't both hold."""

    option: str
    place: Place | None
    others: tuple[Place | None, ...]
    values: tuple[str, ...]

    @property
    def message(self) -> str:
        """Both values."""
        return f"option '{self.option}' is defined more than once, differently: {' and '.join(self.values)}"

    @property
    def remedy(self) -> str:
        """How to decide."""
        return f"Also at {', '.join(str(place) for place in self.others)}. Remove one, or mark the one that holds with `!force`."


@dataclass(eq=False)
class MissingValue(ConfigurationError):
    """An option without a default that nothing defines."""

    option: str
    place: Place | None
    declared: Place | None = None

    @property
    def message(self) -> str:
        """Which."""
        return f"option '{self.option}' has no value"

    @property
    def remedy(self) -> str:
        """Define it."""
        return f"Give `{self.option.rpartition('.')[2]}` a value" + (
            f"; it is declared at {self.declared}." if self.declared else "."
        )


@dataclass(eq=False)
class BadInterpolation(ConfigurationError):
    """A `${…}` that means nothing."""

    text: str
    reason: str
    place: Place | None
    near: str = ""

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"${{{self.text}}}: {self.reason}"

    @property
    def remedy(self) -> str:
        """What may stand there."""
        return (
            self.near
            or "Write ${pkgs.NAME}, ${config.PATH}, ${host.name}, ${host.labels.NAME} or ${host.vars.NAME}; $${ is a literal ${."
        )


@dataclass(eq=False)
class EvaluationCycle(ConfigurationError):
    """Options that need each other's values."""

    chain: tuple[str, ...]
    place: Place | None

    @property
    def message(self) -> str:
        """The whole chain."""
        return f"the value of '{self.chain[0]}' depends on itself: {' → '.join(self.chain)}"

    @property
    def remedy(self) -> str:
        """How to break it."""
        return "Give one of them a value that does not refer to the others."


@dataclass(eq=False)
class ImportFailed(ConfigurationError):
    """A file or module that `imports` names can't be had."""

    name: str
    reason: str
    place: Place | None
    near: str = ""

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"import of '{self.name}': {self.reason}"

    @property
    def remedy(self) -> str:
        """What imports are."""
        return self.near or "Imports are paths relative to the file that names them."


@dataclass(eq=False)
class AssertionBroken(ConfigurationError):
    """A module found values that don't go together."""

    reason: str
    advice: str
    place: Place | None

    @property
    def message(self) -> str:
        """As the module says it."""
        return self.reason

    @property
    def remedy(self) -> str:
        """As the module says it."""
        return self.advice


@dataclass(eq=False)
class ModuleBroken(ConfigurationError):
    """A module of Python raised something, or returned what its option can't take."""

    module: str
    reason: str
    place: Place | None

    @property
    def message(self) -> str:
        """Which, and what."""
        return f"the module '{self.module}' failed: {self.reason}"

    @property
    def remedy(self) -> str:
        """Whose fault it is."""
        return "This is an error in the module, not in your configuration; tell its author."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence with the nearest names; empty where nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
