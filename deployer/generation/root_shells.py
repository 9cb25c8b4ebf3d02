"""Shells that services with a root tree start, by themselves or as what programs are scripts for: the tree must have them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from deployer.errors import ConfigurationError, DeployerError, Place
from deployer.generation.told_commands import ToldCommand, place_of
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made
from deployer.packages.recipes import DebianRecipe, NpmRecipe, PythonRecipe

if TYPE_CHECKING:
    from deployer.config import Config

_SH: Final = "/bin/sh"
_DEBS: Final = {_SH: "dash", "/bin/bash": "bash"}
"""The Debian package that brings each shell."""


class RootWithoutShell(ConfigurationError):
    """A service starts a shell, or a script for one, and its root tree has no such shell."""

    unit: str
    directive: str
    package: str
    """Whose program it starts, which is a script for the shell. Empty: it starts the shell itself."""
    shell: str
    root: str
    """The package that is its root."""
    place: Place | None

    @property
    def message(self) -> str:
        """Which unit, and what it lacks."""
        script = f"a program of package '{self.package}', which is a script for {self.shell}"
        runs = f"unit '{self.unit}': {self.directive} runs {script if self.package else self.shell}"
        return f"{runs}, and its root, package '{self.root}', has no {self.shell}"

    @property
    def remedy(self) -> str:
        """How to have one."""
        return f"Add {_DEBS[self.shell]} to `packages` of package '{self.root}', and run 'deployer lock'."


def roots_without_shell(commands: Iterable[ToldCommand], config: Config, packages: PackageSet) -> Iterator[DeployerError]:
    """What is wrong with commands of units that have a root."""
    for command in commands:
        recipe, made = packages.tree_around(command.root) or (None, None)
        if recipe is None or made is None or command.root.rstrip("/") != str(made.output):
            continue
        for program in command.programs:
            package = _script_of(program, packages)
            shell = _SH if package else program.removeprefix("/usr")
            if shell in _DEBS and not _has(shell, command, recipe, made):
                place = place_of(config, command, package or recipe.name)
                yield RootWithoutShell(command.unit, command.directive, package, shell, recipe.name, place)
                break


def _has(shell: str, command: ToldCommand, recipe: DebianRecipe, made: Made) -> bool:
    """Whether the shell may be there: by a Debian package, by a link of the recipe, or mounted by the unit."""
    debs = {deb["name"] for deb in json.loads(made.derivation.environment["debs"])}
    places = (shell, f"/usr{shell}")
    given = [*(f"/{name}" for name in recipe.links), *command.mounts]
    return _DEBS[shell] in debs or any(f"{place}/".startswith(f"{one.rstrip('/')}/") for place in places for one in given)


def _script_of(program: str, packages: PackageSet) -> str:
    """The package of kind `python` or `npm` that a program is of, all of which are scripts for /bin/sh; empty: it is of none."""
    recipes = (packages.recipe_of(made) for made in packages.mentioned(program) if program.startswith(f"{made.output}/bin/"))
    return next((recipe.name for recipe in recipes if isinstance(recipe, (PythonRecipe, NpmRecipe))), "")
