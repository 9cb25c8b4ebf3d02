"""Evaluation: from files, modules and a host's facts to the value of every option. Lazy, memoised, and pure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployer.config.by_facts import ByFacts
from deployer.config.definitions import Definition
from deployer.config.errors import BadInterpolation, MissingValue, UnknownOption
from deployer.config.host_view import HostView
from deployer.config.inputs import look_at
from deployer.config.library import all_modules, inputs_of_module, load_module
from deployer.config.module import Option
from deployer.config.origins import Origin, origins
from deployer.config.places import beginnings, keys_of, place_of
from deployer.config.run import PackageResolver, Run
from deployer.config.sharing import Shared
from deployer.config.sources import Sources
from deployer.config.tree import Disabled, OptionTree
from deployer.errors import DeployerError, Place, raise_all

__all__ = ["Config", "Evaluator", "Explained", "PackageResolver", "evaluate"]


@dataclass(frozen=True, slots=True)
class Config:
    """The value of every option, and where each was defined."""

    values: Mapping[str, Any]
    definitions: Mapping[str, tuple[Definition, ...]]
    warnings: tuple[str, ...]
    reads: Mapping[str, Any]
    """The host's facts that it was made from."""
    disabled: Mapping[str, Disabled]
    """Options that went with a module that is left out."""

    def get(self, path: str) -> Any:
        """The value of an option. Raises `UnknownOption`, and `DisabledButNeeded`."""
        if path not in self.values:
            if path in self.disabled:
                raise self.disabled[path].refuse(path, "what a host is told")
            raise UnknownOption(path, None, tuple(self.values))
        return self.values[path]

    def place_of(self, path: str) -> Place | None:
        """Where an option, or what is nested in it, is defined first."""
        return place_of(self.definitions, path)


@dataclass(frozen=True, slots=True)
class _Read:
    """A configuration's files, put together."""

    tree: OptionTree
    given: Mapping[str, list[Definition]]
    errors: tuple[DeployerError, ...]
    warnings: tuple[str, ...]
    whole: bool
    """Whether every file could be read."""
    shared: Shared


@dataclass(frozen=True, slots=True)
class Explained:
    """The value of an option, or of something nested in one, and where it comes from."""

    value: Any
    origins: tuple[Origin, ...]


class Evaluator:
    """Evaluates the configurations of many hosts. Hosts whose files are the same, and whose facts that these read are
    equal, get the same `Config` object."""

    def __init__(self, *, packages: PackageResolver, modules: Sequence[Path] = (), remembered: int | None = None) -> None:
        """`modules` are directories of modules besides the library. `remembered` bounds how many results of a file are kept."""
        self._packages, self._remembered = packages, remembered
        self._tree = OptionTree(all_modules(modules))
        self._sources = Sources({module.name for module in self._tree.modules})
        self._files: dict[Path, _Read] = {}
        self._made: dict[Path, ByFacts[Config]] = {}

    @property
    def options(self) -> Mapping[str, Option]:
        """Every option that there is without imports of modules."""
        return self._tree.options

    def options_of(self, configuration: Path) -> Mapping[str, Option]:
        """Every option that a configuration may define, also those of modules that it imports."""
        return self._read(Path(os.path.abspath(configuration))).tree.options

    def evaluate(self, host: HostView, configuration: Path) -> Config:
        """The configuration of a host. Raises all that is wrong with it, together."""
        path = Path(os.path.abspath(configuration))
        made = self._made.setdefault(path, ByFacts(self._remembered))
        known = made.find(host)
        if known is not None:
            return known.made
        config = self._evaluate(host, path)
        made.keep(host, config.reads, config)
        return config

    def explain(self, host: HostView, configuration: Path, path: str) -> Mapping[str, Explained]:
        """The values that a dotted path means, by path: of an option, of what is nested in one, or of all options below it
        (the empty path: of all). Only these are evaluated, and what they lean on; what is wrong elsewhere is not told.

        Raises what is wrong with them, and `UnknownOption`.
        """
        read = self._read(Path(os.path.abspath(configuration)))
        path = read.tree.current(path)
        if not read.whole:
            raise_all(_in_order([*read.errors]))
        options = read.tree.options
        option = next((one for one in beginnings(path) if one in options), None)
        below = path + "." if path else ""
        wanted = [option] if option is not None else [one for one in options if one.startswith(below)]
        if not wanted:
            raise UnknownOption(path, None, read.tree.names())
        run = Run(read.tree, self._packages, host, read.given, read.shared)
        run.some(wanted)
        raise_all(_in_order(run.errors))
        if option is None:
            return {
                one: Explained(run.values[one], origins(options[one], run.definitions[one], (), run.unmet(one))) for one in wanted
            }
        keys = keys_of(run.values[option], path[len(option) + 1 :])
        if keys is None:
            raise UnknownOption(path, None, tuple(_paths(option, run.values[option])))
        value = run.values[option]
        for key in keys:
            value = value[key]
        return {path: Explained(value, origins(options[option], run.definitions[option], keys, run.unmet(option)))}

    def _evaluate(self, host: HostView, path: Path) -> Config:
        read = self._read(path)
        run = Run(read.tree, self._packages, host, read.given, read.shared)
        run.everything()
        if not read.whole:
            # What a file that can't be read would have defined is not missing.
            raise_all([*read.errors, *(one for one in run.errors if not isinstance(one, MissingValue | BadInterpolation))])
        broken = [*run.broken_assertions()]
        warnings = (*read.warnings, *run.warnings())
        raise_all(_in_order([*read.errors, *run.errors, *broken]))
        return Config(run.values, run.definitions, warnings, run.reads, read.tree.disabled)

    def _read(self, path: Path) -> _Read:
        if path not in self._files:
            closure = self._sources.closure(path)
            for looked_at in closure.inputs.paths:
                look_at(looked_at)
            errors = [*closure.errors]
            own = []
            for file in closure.modules:
                try:
                    own.append(load_module(file))
                    for looked_at in inputs_of_module(file).paths:
                        look_at(looked_at)
                except DeployerError as error:
                    errors.append(error)
            tree = self._tree
            if own or closure.disabled:
                enabled = [module for module in tree.modules if module.name not in closure.disabled]
                disabled = {
                    path: Disabled(one.name, closure.disabled[one.name])
                    for one in tree.modules
                    if one not in enabled
                    for path in one.options
                }
                tree = OptionTree((*enabled, *own), disabled)
            whole = not errors
            given: dict[str, list[Definition]] = {}
            warnings: list[str] = []
            for source in closure.sources:
                tree.spread(source.definitions, given, errors, warnings)
            self._files[path] = _Read(tree, given, tuple(errors), tuple(warnings), whole, Shared())
        return self._files[path]


def evaluate(configuration: Path, *, host: HostView, packages: PackageResolver, modules: Sequence[Path] = ()) -> Config:
    """The configuration of one host. Raises all that is wrong with it, together."""
    return Evaluator(packages=packages, modules=modules).evaluate(host, configuration)


def _paths(path: str, value: Any) -> Iterator[str]:
    """A path, and all that are nested in its value."""
    yield path
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        yield from _paths(f"{path}.{key}", inner)


def _in_order(errors: list[DeployerError]) -> list[DeployerError]:
    """By file, line and column; what has no place last."""
    none = Place("\U0010ffff")
    return sorted(errors, key=lambda one: ((at := one.location or none).file, at.line, at.column))
