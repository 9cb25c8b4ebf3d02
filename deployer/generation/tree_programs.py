"""Programs of root trees that a host is told to run: by itself it would give them its own libraries, or none.

A check's command, and one that judges a content, run as what is on PATH does: by a starter, with the tree as `/usr`. A unit is to
have the tree as its root; one that has not is refused, because only its service knows what else it is to see.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deployer.errors import ConfigurationError, DeployerError, Place
from deployer.formats.manifest import Manifest, Unit
from deployer.generation.programs import starter_of
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made
from deployer.packages.recipes import DebianRecipe

if TYPE_CHECKING:
    from deployer.config import Config
    from deployer.config.definitions import Definition

ON_PATH: Final = "/var/lib/deployer/profile/current/sw/bin"
"""Where a host has the programs of what `packages` names."""
_ROOT: Final = re.compile(r"^\s*Root(?:Directory|Image)\s*=\s*\S", re.MULTILINE)
_COMMAND: Final = re.compile(r"^\s*(Exec[A-Za-z]+)\s*=[ \t]*[@+!:|-]*[\"']?([^\s\"']+)", re.MULTILINE)


class ProgramNeedsRoot(ConfigurationError):
    """A unit runs a program of a root tree, and does not have that as its root."""

    unit: str
    directive: str
    program: str
    """As a path of the tree."""
    package: str
    is_service: bool
    """Whether the configuration declares it as a service, which may have a root."""
    place: Place | None

    @property
    def message(self) -> str:
        """Which unit, and what of what."""
        return (
            f"unit '{self.unit}': {self.directive} is {self.program} of package '{self.package}', whose loader and libraries "
            "are in the package's tree, where the unit does not look"
        )

    @property
    def remedy(self) -> str:
        """Two ways to run it in its tree."""
        if self.is_service:
            service = self.unit.removesuffix(".service")
            return f"Give the service its tree: `systemd.roots: {{{service}: '${{pkgs.{self.package}}}'}}`."
        return f"Put it on PATH by `packages: [{self.package}]`, and run {ON_PATH}/{self.program.rpartition('/')[2]}."


def units_without_root(manifest: Manifest, config: Config, packages: PackageSet) -> Iterator[DeployerError]:
    """What is wrong with the units of a manifest."""
    for option, units in (("systemd", manifest.units), ("systemd.user", manifest.user_units)):
        services = config.get(f"{option}.services")
        for unit in units:
            texts = _texts(unit)
            if any(_ROOT.search(text) for text in texts):
                continue
            name = unit.name.removesuffix(".service")
            for directive, program, found in _programs(texts, packages):
                at = f"{option}.services.{name}.service.{directive}" if name in services else f"{option}.units.{unit.name}"
                place = _place(config, at, found.recipe.name)
                is_service = option == "systemd" and name in services
                yield ProgramNeedsRoot(unit.name, directive, found.inside(program), found.recipe.name, is_service, place)


def started(manifest: Manifest, packages: PackageSet, store_dir: str) -> tuple[Manifest, tuple[Made, ...]]:
    """The manifest with starters in place of programs of root trees, in checks and in what judges contents; and the starters."""
    starters = _Starters(packages, store_dir)
    checks = tuple(dataclasses.replace(check, command=starters.command(check.command)) for check in manifest.checks)
    etc = tuple(dataclasses.replace(entry, validate=starters.command(entry.validate)) for entry in manifest.etc)
    if not starters.made:
        return manifest, ()
    return dataclasses.replace(manifest, checks=checks, etc=etc), tuple(starters.made.values())


@dataclass(frozen=True, slots=True)
class _Tree:
    """A root tree that something is in."""

    recipe: DebianRecipe
    made: Made

    def inside(self, path: str) -> str:
        """A path of the store as one of the tree."""
        return path.removeprefix(str(self.made.output))


def _tree_of(program: str, packages: PackageSet) -> _Tree | None:
    found = packages.tree_around(program)
    return _Tree(*found) if found is not None and program.startswith(f"{found[1].output}/") else None


@dataclass(frozen=True, slots=True)
class _Starters:
    packages: PackageSet
    store_dir: str
    made: dict[str, Made] = field(default_factory=dict)
    """By the program that each starts."""

    def command(self, command: Sequence[str]) -> tuple[str, ...]:
        """A command whose program is a starter, where it is one of a root tree."""
        tree = _tree_of(command[0], self.packages) if command else None
        if tree is None:
            return tuple(command)
        program = tree.inside(command[0])
        if command[0] not in self.made:
            self.made[command[0]] = starter_of(self.packages, tree.recipe, tree.made, program, self.store_dir)
        return (f"{self.made[command[0]].output}/bin/{program.rpartition('/')[2]}", *command[1:])


def _texts(unit: Unit) -> tuple[str, ...]:
    return tuple(text.replace("\\\n", " ") for text in (unit.text, *unit.drop_ins.values()))


def _programs(texts: Sequence[str], packages: PackageSet) -> Iterator[tuple[str, str, _Tree]]:
    for text in texts:
        for directive, program in _COMMAND.findall(text):
            tree = _tree_of(program, packages)
            if tree is not None:
                yield directive, program, tree


def _place(config: Config, at: str, package: str) -> Place | None:
    """Where a user says it: the directive, or else where the package is named, which a module made the directive from."""
    place = config.place_of(at)
    if place is not None and Path(place.file).suffix != ".py":
        return place
    wanted = f"${{pkgs.{package}}}"
    given = (one for definitions in config.definitions.values() for one in definitions)
    return next((one.place for one in _nested(given) if isinstance(one.value, str) and wanted in one.value), place)


def _nested(definitions: Iterator[Definition]) -> Iterator[Definition]:
    for definition in definitions:
        value: Any = definition.value
        if isinstance(value, Mapping):
            yield from _nested(iter(value.values()))
        elif isinstance(value, list):
            yield from _nested(iter(value))
        else:
            yield definition
