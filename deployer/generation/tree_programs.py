"""Programs of root trees that a host is told to run: by itself it would give them its own libraries, or none.

A check's command, and one that judges a content, run as what is on PATH does: by a starter, with the tree as `/usr`. A unit is to
have the tree as its root; one that has not is refused, because only its service knows what else it is to see. `mentions` has
what can't be told so surely.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from deployer.errors import ConfigurationError, DeployerError, Place
from deployer.formats.manifest import Manifest
from deployer.generation.command_lines import programs_at
from deployer.generation.programs import starter_of
from deployer.generation.told_commands import ToldCommand, place_of
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made
from deployer.packages.recipes import DebianRecipe

if TYPE_CHECKING:
    from deployer.config import Config

ON_PATH: Final = "/var/lib/deployer/profile/current/sw/bin"
"""Where a host has the programs of what `packages` names."""


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
            f"unit '{self.unit}': {self.directive} runs {self.program} of package '{self.package}', whose loader and libraries "
            "are in the package's tree, where the unit does not look"
        )

    @property
    def remedy(self) -> str:
        """Two ways to run it in its tree."""
        if self.is_service:
            service = self.unit.removesuffix(".service")
            return f"Give the service its tree: `systemd.roots: {{{service}: '${{pkgs.{self.package}}}'}}`."
        return f"Put it on PATH by `packages: [{self.package}]`, and run {ON_PATH}/{self.program.rpartition('/')[2]}."


def programs_without_root(commands: Iterable[ToldCommand], config: Config, packages: PackageSet) -> Iterator[DeployerError]:
    """What is wrong with commands of units that have no root."""
    for command in commands:
        found = ((program, tree_of(program, packages)) for program in command.programs)
        program, tree = next((one for one in found if one[1] is not None), ("", None))
        if tree is not None:
            yield ProgramNeedsRoot(
                command.unit,
                command.directive,
                tree.inside(program),
                tree.recipe.name,
                bool(command.service),
                place_of(config, command, tree.recipe.name),
            )


def started(manifest: Manifest, packages: PackageSet, store_dir: str) -> tuple[Manifest, tuple[Made, ...]]:
    """The manifest with starters in place of programs of root trees, in checks and in what judges contents; and the starters."""
    starters = _Starters(packages, store_dir)
    checks = tuple(dataclasses.replace(check, command=starters.command(check.command)) for check in manifest.checks)
    etc = tuple(dataclasses.replace(entry, validate=starters.command(entry.validate)) for entry in manifest.etc)
    if not starters.made:
        return manifest, ()
    return dataclasses.replace(manifest, checks=checks, etc=etc), tuple(starters.made.values())


@dataclass(frozen=True, slots=True)
class Tree:
    """A root tree that something is in."""

    recipe: DebianRecipe
    made: Made

    def inside(self, path: str) -> str:
        """A path of the store as one of the tree."""
        return path.removeprefix(str(self.made.output))


def tree_of(program: str, packages: PackageSet) -> Tree | None:
    """The root tree that a path of the store is in; not the tree itself."""
    found = packages.tree_around(program)
    return Tree(*found) if found is not None and program.startswith(f"{found[1].output}/") else None


@dataclass(frozen=True, slots=True)
class _Starters:
    packages: PackageSet
    store_dir: str
    made: dict[str, Made] = field(default_factory=dict)
    """By the program that each starts."""

    def command(self, command: Sequence[str]) -> tuple[str, ...]:
        """A command whose programs are starters, where they are of root trees and not started in that tree already."""
        words, around = list(command), ""
        for at in programs_at(command):
            tree = tree_of(command[at], self.packages)
            if tree is not None and tree.recipe.name != around:
                words[at] = self._starter(tree, command[at])
                around = tree.recipe.name
        return tuple(words)

    def _starter(self, tree: Tree, path: str) -> str:
        program = tree.inside(path)
        if path not in self.made:
            self.made[path] = starter_of(self.packages, tree.recipe, tree.made, program, self.store_dir)
        return f"{self.made[path].output}/bin/{program.rpartition('/')[2]}"
