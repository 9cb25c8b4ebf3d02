"""What can be wrong with a configuration. Each error names the file, line and column, and what was expected there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deployer.errors import ConfigurationError, Place, near


class ConfigError(ConfigurationError):
    """Something in a configuration file, or in a module, that its author can correct."""

    @property
    def excerpt(self) -> str:
        """The line that the place names, with a caret below the column; empty where there is none to show."""
        place = self.location
        if place is None or place.line <= 0 or not self.shows_its_line:
            return ""
        try:
            line = Path(place.file).read_text(encoding="utf-8", errors="replace").splitlines()[place.line - 1]
        except (OSError, IndexError, ValueError):
            return ""
        return f"{line}\n{' ' * (place.column - 1)}^" if place.column else line


class UnknownOption(ConfigError):
    """A key that no module declares."""

    option: str
    place: Place | None
    known: tuple[str, ...] = ()
    declared: Place | None = None
    """Of the option that it would be a part of."""

    @property
    def message(self) -> str:
        """Which."""
        return f"there is no option '{self.option}'"

    @property
    def remedy(self) -> str:
        """The nearest names, or all where they are few."""
        if self.declared is None:
            return did_you_mean(self.option, self.known) or "See docs/reference/options.md, or `deployer option`."
        names = ", ".join(name.rpartition(".")[2] for name in self.known)
        near = did_you_mean(self.option, self.known) or f"What may stand here: {names}."
        return f"{near} Declared at {self.declared}."


class BadName(ConfigError):
    """A key that can't be the name of what it stands for."""

    option: str
    name: str
    wanted: str
    place: Place | None
    declared: Place | None = None

    @property
    def message(self) -> str:
        """Which."""
        return f"{self.name!r} can't be a name in '{self.option}'"

    @property
    def remedy(self) -> str:
        """What names there are like."""
        return f"A name there {self.wanted}." + (f" Declared at {self.declared}." if self.declared else "")


class UnknownPackage(ConfigError):
    """A package that is not in the package set."""

    option: str
    name: str
    place: Place | None
    known: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """Which, and what wants it."""
        return f"option '{self.option}': there is no package '{self.name}'"

    @property
    def remedy(self) -> str:
        """The nearest names."""
        return did_you_mean(self.name, self.known) or "Packages are declared in packages.yaml."


class MissingFile(ConfigError):
    """A file that an option names does not exist."""

    option: str
    path: str
    place: Place | None
    near: str = ""

    @property
    def message(self) -> str:
        """Which."""
        return f"option '{self.option}': there is no file {self.path}"

    @property
    def remedy(self) -> str:
        """What paths are relative to."""
        return self.near or "A path is relative to the file that says it."


class WrongType(ConfigError):
    """A value that is not of its option's type."""

    option: str
    expected: str
    found: str
    place: Place | None
    declared: Place | None = None
    advice: str = ""

    @property
    def message(self) -> str:
        """What was expected, and what was found."""
        return f"option '{self.option}' must be {self.expected}, and is {self.found}"

    @property
    def remedy(self) -> str:
        """Where the option is declared."""
        return self.advice or (f"The option is declared at {self.declared}." if self.declared else "")


class Conflict(ConfigError):
    """Two definitions of equal priority that can't both hold."""

    option: str
    place: Place | None
    others: tuple[Place | None, ...]
    values: tuple[str, ...]
    declared: Place | None = None

    @property
    def message(self) -> str:
        """Both values."""
        return f"option '{self.option}' is defined more than once, differently: {' and '.join(self.values)}"

    @property
    def remedy(self) -> str:
        """How to decide."""
        also = f"Also at {', '.join(str(place) for place in self.others)}. Remove one, or mark the one that holds with `!force`."
        return also + (f" The option is declared at {self.declared}." if self.declared else "")


class ReadOnlyOption(ConfigError):
    """An option that has its one definition is given another."""

    option: str
    place: Place | None
    others: tuple[Place | None, ...]
    declared: Place | None = None

    @property
    def message(self) -> str:
        """Which."""
        return f"option '{self.option}' is read-only, and is defined more than once"

    @property
    def remedy(self) -> str:
        """Where it has its value from."""
        also = ", ".join(str(place) for place in self.others)
        return f"Remove this definition; the others: {also}. The option is declared at {self.declared}."


class RemovedOption(ConfigError):
    """An option that once was, and is no more."""

    option: str
    instead: str
    place: Place | None
    declared: Place | None = None

    @property
    def message(self) -> str:
        """Which."""
        return f"the option '{self.option}' was removed"

    @property
    def remedy(self) -> str:
        """What its module says to do instead."""
        return f"{self.instead} Removed at {self.declared}."


class MissingValue(ConfigError):
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


class BadInterpolation(ConfigError):
    """A `${…}` that means nothing."""

    text: str
    reason: str
    place: Place | None
    near: str = ""

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"{self.text if '${' in self.text else '${' + self.text + '}'}: {self.reason}"

    @property
    def remedy(self) -> str:
        """What may stand there."""
        return (
            self.near
            or "Write ${pkgs.NAME}, ${config.PATH}, ${host.name}, ${host.labels.NAME} or ${host.vars.NAME}; $${ is a literal ${."
        )


class EvaluationCycle(ConfigError):
    """Options that need each other's values."""

    chain: tuple[str, ...]
    place: Place | None
    places: tuple[Place | None, ...] = ()
    """Where each of the chain is defined."""

    @property
    def message(self) -> str:
        """The whole chain."""
        return f"the value of '{self.chain[0]}' depends on itself: {' → '.join(self.chain)}"

    @property
    def remedy(self) -> str:
        """How to break it."""
        at = [f"{name} at {place}" for name, place in dict(zip(self.chain, self.places, strict=False)).items() if place]
        defined = f" Defined: {', '.join(at)}." if at else ""
        return f"Give one of them a value that does not refer to the others.{defined}"


class AssertionBroken(ConfigError):
    """A module found values that don't go together."""

    reason: str
    advice: str
    place: Place | None
    other: Place | None = None
    """Of the other value."""

    @property
    def message(self) -> str:
        """As the module says it."""
        return self.reason

    @property
    def remedy(self) -> str:
        """As the module says it, with the other place."""
        return f"{self.advice} See also {self.other}." if self.other is not None else self.advice


class ModuleBroken(ConfigError):
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
    names = near(word, known)
    return f"Did you mean {' or '.join(repr(name) for name in names)}?" if names else ""
