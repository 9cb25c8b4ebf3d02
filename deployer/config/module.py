"""A module: a page of Python that declares options, and says what their values mean in terms of other options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

from deployer.config.definitions import default
from deployer.config.types import NOTHING, OptionType
from deployer.errors import Place


@dataclass(frozen=True, slots=True)
class Option:
    """A typed slot of the configuration."""

    path: str
    type: OptionType
    description: str
    default: Any
    example: Any
    declared: Place
    apply: Callable[[Any, ConfigView], Any] | None = None
    """Makes the final value of the merged one."""
    read_only: bool = False
    """Whether it has one definition, its default where there is one, and takes no other."""
    internal: bool = False
    """Whether it is a matter between modules: no page, list or editor shows it."""

    @property
    def has_default(self) -> bool:
        """Whether it may be left undefined."""
        return self.default is not NOTHING


@dataclass(frozen=True, slots=True)
class Fault:
    """What a module's assertion found wrong."""

    message: str
    remedy: str = ""
    at: str = ""
    """The option path whose definition is to blame; empty: none in particular."""
    also: str = ""
    """The option path of the other definition, where two do not go together."""
    named: bool = False
    """Whether the name at `at` is to blame, and not the value that it has."""
    item: Any = None
    """Of a list at `at`, the item that is to blame."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """A path under which an option once was."""

    path: str
    to: str
    place: Place


@dataclass(frozen=True, slots=True)
class Removed:
    """An option that once was."""

    path: str
    instead: str
    """What to do instead, in a sentence."""
    place: Place


class ConfigView(Mapping[str, Any]):
    """What a module reads: `config["etc"]`, evaluated when it is read."""

    def __init__(self, read: Callable[[str], Any], paths: Callable[[], Iterator[str]], is_tree: Callable[[str], bool]) -> None:
        """Made by the evaluation."""
        self._read, self._paths, self._is_tree = read, paths, is_tree

    def is_tree(self, package: str | None) -> bool:
        """Whether a `package` option says a root tree: a package of kind `debian`, and not the host's own or none."""
        return package not in (None, "host") and self._is_tree(package)

    def __getitem__(self, path: str) -> Any:
        """An option's value."""
        return self._read(path)

    def __iter__(self) -> Iterator[str]:
        """The paths of all options."""
        return self._paths()

    def __len__(self) -> int:
        """How many options there are."""
        return sum(1 for _ in self._paths())


def program_of(config: ConfigView, package: str, *, of_debian: str, own: str) -> str:
    """Where a program of a package, or of the `host`, is: `of_debian` where Debian's package has it, `own` below any other."""
    if package == "host":
        return of_debian
    return f"{package}{of_debian}" if config.is_tree(package) else f"{package}/{own}"


Contribution = Callable[[ConfigView], Any]
Assertion = Callable[[ConfigView], Iterator[Fault]]
_C = TypeVar("_C", bound=Contribution)
_A = TypeVar("_A", bound=Assertion)
Programs = Callable[[ConfigView], Iterable[str]]
_P = TypeVar("_P", bound=Programs)


@dataclass(frozen=True, slots=True)
class Contributed:
    """What a module defines of one option."""

    path: str
    value: Contribution
    place: Place


class Module:
    """Options and what follows from them. Made once, at the top of the module's file."""

    def __init__(self, name: str, description: str) -> None:
        """`name` is what `imports` and messages call it."""
        self.name: Final = name
        self.description: Final = description
        self.options: Final[dict[str, Option]] = {}
        self.renamed: Final[dict[str, Renamed]] = {}
        self.removed: Final[dict[str, Removed]] = {}
        self.contributions: Final[list[Contributed]] = []
        self.assertions: Final[list[Assertion]] = []
        self.warnings: Final[list[Assertion]] = []

    def option(
        self,
        path: str,
        type: OptionType,
        description: str,
        *,
        default: Any = NOTHING,
        example: Any = None,
        apply: Callable[[Any, ConfigView], Any] | None = None,
        read_only: bool = False,
        internal: bool = False,
    ) -> None:
        """Declare an option. Without a default it must be defined. `apply` makes the final value of the merged one.

        A `read_only` one has exactly one definition: its default, or else what one module says. An `internal` one is a matter
        between modules, and is not shown to users.
        """
        self.options[path] = Option(path, type, description, default, example, _caller(), apply, read_only, internal)

    def rename(self, path: str, to: str) -> None:
        """Let what is said of an option under its old path count for the new one, with a warning."""
        self.renamed[path] = Renamed(path, to, _caller())

    def remove(self, path: str, instead: str) -> None:
        """Refuse an option that once was, with a sentence that says what to do instead."""
        self.removed[path] = Removed(path, instead, _caller())

    def defines(self, path: str) -> Callable[[_C], _C]:
        """Mark the function that says what this module defines of an option. It reads others when it is called.

        One that yields gives several definitions; `when` gives none where its condition does not hold.
        """
        place = _caller()

        def remember(function: _C) -> _C:
            self.contributions.append(Contributed(path, function, place))
            return function

        return remember

    def package_or_host(
        self, service: str, users: Mapping[str, Any] = MappingProxyType({}), unit: str | tuple[str, ...] = ()
    ) -> Callable[[_P], _P]:
        """Mark the function that names the host's programs for a service whose `package` may be `host`.

        Then the host must have them, and the accounts of that name; where the package is one of ours, these `users` are made, and
        where it is a root tree, `unit`, or each of several, without `.service`, has it as its root unless the configuration says
        another.
        """
        place, units = _caller(), (unit,) if isinstance(unit, str) else unit

        def remember(programs: _P) -> _P:
            def needed(config: ConfigView, names: Iterable[str]) -> dict[str, list[str]]:
                return {name: [f"`{service}`"] for name in names} if config[f"{service}.package"] == "host" else {}

            def paths(config: ConfigView) -> dict[str, list[str]]:
                return needed(config, programs(config))

            def accounts(config: ConfigView) -> dict[str, list[str]]:
                return needed(config, users)

            def made(config: ConfigView) -> Mapping[str, Any]:
                return {} if config[f"{service}.package"] in (None, "host") else users

            def roots(config: ConfigView) -> Mapping[str, Any]:
                package = config[f"{service}.package"]
                # One of which not enough is said has no programs yet, and no units.
                return {name: default(package) for name in units} if config.is_tree(package) and list(programs(config)) else {}

            told = [("requires.paths", paths), ("requires.accounts", accounts), ("users", made), ("systemd.roots", roots)]
            for path, value in told:
                self.contributions.append(Contributed(path, value, place))
            return programs

        return remember

    def asserts(self, function: _A) -> _A:
        """Mark a generator of `Fault`s that make the configuration wrong."""
        self.assertions.append(function)
        return function

    def warns(self, function: _A) -> _A:
        """Mark a generator of `Fault`s that are worth a warning."""
        self.warnings.append(function)
        return function


def _caller() -> Place:
    frame = inspect.currentframe()
    outer = frame.f_back.f_back if frame is not None and frame.f_back is not None else None
    return Place(outer.f_code.co_filename, outer.f_lineno) if outer is not None else Place("?")
