"""Evaluation: from files, modules and one host's facts to the value of every option. Lazy, memoised, and pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from deployer.config.definitions import OPTION_DEFAULT, Definition, define
from deployer.config.errors import (
    AssertionBroken,
    BadInterpolation,
    EvaluationCycle,
    MissingValue,
    ModuleBroken,
    UnknownOption,
    WrongType,
    did_you_mean,
)
from deployer.config.host_view import MISSING, HostView
from deployer.config.interpolation import Unclosed, interpolate
from deployer.config.library import all_modules
from deployer.config.module import ConfigView, Contributed, Module, Option
from deployer.config.sources import Source, Sources
from deployer.config.types import NOTHING, Scope
from deployer.errors import DeployerError, Place, raise_all


class PackageResolver(Protocol):
    """What `${pkgs.NAME}` asks."""

    def output_path(self, name: str) -> str:
        """The store path of a package's output. Raises a `DeployerError` where the package is wrong."""

    def names(self) -> Collection[str]:
        """All packages."""


@dataclass(frozen=True, slots=True)
class Config:
    """The value of every option, and where each was defined."""

    values: Mapping[str, Any]
    definitions: Mapping[str, tuple[Definition, ...]]
    warnings: tuple[str, ...]
    reads: Mapping[str, Any]
    """The host's facts that it was made from."""

    def get(self, path: str) -> Any:
        """The value of an option. Raises `UnknownOption`."""
        if path not in self.values:
            raise UnknownOption(path, None, tuple(self.values))
        return self.values[path]

    def place_of(self, path: str) -> Place | None:
        """Where an option, or what is nested in it, is defined first."""
        return _place(self.definitions, path)


class Evaluator:
    """Evaluates the configurations of many hosts. Hosts whose files are the same, and whose facts that these read are
    equal, get the same `Config` object."""

    def __init__(self, *, packages: PackageResolver, modules: Sequence[Path] = ()) -> None:
        """`modules` are directories of modules besides the library."""
        self._packages = packages
        self._modules = all_modules(modules)
        self._options = {path: option for module in self._modules for path, option in module.options.items()}
        self._namespaces = {path[:at] for path in self._options for at, letter in enumerate(path) if letter == "."}
        self._sources = Sources()
        self._made: dict[Path, list[Config]] = {}
        self._spread: dict[Path, dict[str, list[Definition]]] = {}

    @property
    def options(self) -> Mapping[str, Option]:
        """Every option that there is."""
        return self._options

    def evaluate(self, host: HostView, configuration: Path) -> Config:
        """The configuration of a host. Raises all that is wrong with it, together."""
        for made in self._made.get(configuration, ()):
            if all(host.read(path) == value for path, value in made.reads.items()):
                return made
        config = _Evaluation(self, host, self._definitions(configuration)).run()
        self._made.setdefault(configuration, []).append(config)
        return config

    def _definitions(self, configuration: Path) -> dict[str, list[Definition]]:
        if configuration not in self._spread:
            errors: list[DeployerError] = []
            spread: dict[str, list[Definition]] = {}
            for source in self._sources.closure(configuration):
                self._spread_out(source, spread, errors)
            raise_all(errors)
            self._spread[configuration] = spread
        return self._spread[configuration]

    def _spread_out(self, source: Source, spread: dict[str, list[Definition]], errors: list[DeployerError]) -> None:
        todo = [(key, definition) for key, definition in reversed([*source.definitions.items()])]
        while todo:
            path, definition = todo.pop()
            if path in self._options:
                spread.setdefault(path, []).append(definition)
            elif path not in self._namespaces:
                errors.append(UnknownOption(path, definition.place, (*self._options, *self._namespaces)))
            elif isinstance(definition.value, dict):
                nested = [(f"{path}.{key}", item.within(definition.priority)) for key, item in definition.value.items()]
                todo.extend(reversed(nested))
            else:
                errors.append(WrongType(path, "a mapping of options", "not one", definition.place))


class _Evaluation:
    """One run: values are made when they are first read."""

    def __init__(self, evaluator: Evaluator, host: HostView, given: Mapping[str, list[Definition]]) -> None:
        self._packages = evaluator._packages
        self._modules: Final[tuple[Module, ...]] = evaluator._modules
        self._options = evaluator._options
        self._host = host
        self._given = given
        self._contributed: dict[str, list[Contributed]] = {}
        for module in self._modules:
            for one in module.contributions:
                self._contributed.setdefault(one.path, []).append(one)
        self._values: dict[str, Any] = {}
        self._definitions: dict[str, tuple[Definition, ...]] = {}
        self._under_way: list[str] = []
        self._reads: dict[str, Any] = {}
        self._errors: list[DeployerError] = []
        self._view = ConfigView(self._read, lambda: iter(self._options))

    def run(self) -> Config:
        for path in self._options:
            try:
                self._read(path)
            except _Failed:
                self._under_way.clear()
            except DeployerError as error:
                self._errors.append(error)
                self._values[path] = NOTHING
                self._under_way.clear()
        raise_all(self._errors)
        warnings = tuple(
            f"{place}: {fault.message}" if (place := _place(self._definitions, fault.at)) else fault.message
            for module in self._modules
            for check in module.warnings
            for fault in check(self._view)
        )
        for module in self._modules:
            for check in module.assertions:
                for fault in check(self._view):
                    place = _place(self._definitions, fault.at) if fault.at else None
                    self._errors.append(AssertionBroken(fault.message, fault.remedy, place))
        raise_all(self._errors)
        return Config(self._values, self._definitions, warnings, self._reads)

    def _read(self, path: str) -> Any:
        if path in self._values:
            value = self._values[path]
            if value is NOTHING:
                raise _Failed
            return value
        option = self._options.get(path)
        if option is None:
            raise KeyError(path)
        if path in self._under_way:
            chain = (*self._under_way[self._under_way.index(path) :], path)
            self._errors.append(EvaluationCycle(chain, _place_of_first(self._given.get(path))))
            raise _Failed
        self._under_way.append(path)
        self._values[path] = value = self._make(option)
        self._under_way.pop()
        if value is NOTHING:
            raise _Failed
        return value

    def _make(self, option: Option) -> Any:
        definitions = [*self._given.get(option.path, ()), *self._contributions(option)]
        self._definitions[option.path] = tuple(definitions)
        if option.has_default:
            definitions.append(define(option.default, option.declared).within(OPTION_DEFAULT))
            definitions[-1] = Definition(definitions[-1].value, option.declared, OPTION_DEFAULT, literal=True)
        if not definitions:
            self._errors.append(MissingValue(option.path, None, option.declared))
            return NOTHING
        scope = Scope(self._resolve, self._errors, option.declared)
        before = len(self._errors)
        value = option.type.merge(option.path, definitions, scope)
        return NOTHING if len(self._errors) > before else value

    def _contributions(self, option: Option) -> Iterator[Definition]:
        for one in self._contributed.get(option.path, ()):
            try:
                yield define(one.value(self._view), one.place)
            except (DeployerError, _Failed):
                raise
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise ModuleBroken(Path(one.place.file).stem, reason, one.place) from error

    def _resolve(self, definition: Definition) -> Any:
        value = definition.value
        if definition.literal or not isinstance(value, str) or "${" not in value:
            return value
        try:
            return interpolate(value, lambda path: self._named(path, definition))
        except Unclosed as error:
            self._errors.append(
                BadInterpolation(error.text, "it is not closed by }", definition.place, "Write $${ for a literal ${.")
            )
        except TypeError as error:
            self._errors.append(BadInterpolation(value[:60], str(error), definition.place))
        except DeployerError as error:
            self._errors.append(error)
        return NOTHING

    def _named(self, path: str, definition: Definition) -> Any:
        root, _, rest = path.partition(".")
        match root:
            case "pkgs":
                return self._package(path, rest, definition)
            case "host":
                value = self._host.read(rest)
                self._reads[rest] = value
                if value is MISSING:
                    near = did_you_mean(rest, self._host.names())
                    raise BadInterpolation(path, f"host '{self._host.name}' has no '{rest}'", definition.place, near)
                return value
            case "config":
                return self._option(path, rest, definition)
        raise BadInterpolation(path, f"'{root}' means nothing", definition.place)

    def _package(self, path: str, name: str, definition: Definition) -> str:
        if name not in self._packages.names():
            near = did_you_mean(name, self._packages.names()) or "Packages are declared in packages.yaml."
            raise BadInterpolation(path, f"there is no package '{name}'", definition.place, near)
        return self._packages.output_path(name)

    def _option(self, path: str, rest: str, definition: Definition) -> Any:
        for at in [len(rest), *[index for index, letter in enumerate(rest) if letter == "."][::-1]]:
            option, below = (rest[:at], rest[at + 1 :]) if at < len(rest) else (rest, "")
            if option in self._options:
                value = self._read(option)
                found = _below(value, below)
                if found is MISSING:
                    raise BadInterpolation(path, f"option '{option}' has no '{below}'", definition.place)
                return found
        raise BadInterpolation(path, f"there is no option '{rest}'", definition.place, did_you_mean(rest, self._options))


class _Failed(Exception):
    """A value could not be made; why is among the errors already."""


def _below(value: Any, path: str) -> Any:
    """What is nested in a value; names may hold dots themselves."""
    if not path:
        return value
    if isinstance(value, Mapping):
        if path in value:
            return value[path]
        for at, letter in enumerate(path):
            if letter == "." and path[:at] in value:
                return _below(value[path[:at]], path[at + 1 :])
    return MISSING


def _place(definitions: Mapping[str, tuple[Definition, ...]], path: str) -> Place | None:
    if path in definitions:
        return _place_of_first(definitions[path])
    for option in definitions:
        if path.startswith(option + "."):
            for definition in definitions[option]:
                found = _nested(definition, path[len(option) + 1 :])
                if found is not None:
                    return found.place
            return _place_of_first(definitions[option])
    return None


def _nested(definition: Definition, path: str) -> Definition | None:
    if not path:
        return definition
    if not isinstance(definition.value, dict):
        return None
    if path in definition.value:
        return definition.value[path]  # type: ignore[no-any-return]
    for at, letter in enumerate(path):
        if letter == "." and path[:at] in definition.value:
            return _nested(definition.value[path[:at]], path[at + 1 :])
    return None


def _place_of_first(definitions: Sequence[Definition] | None) -> Place | None:
    return definitions[0].place if definitions else None
