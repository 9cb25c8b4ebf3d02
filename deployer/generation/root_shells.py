"""Programs of Python environments in services that have a root tree: they are scripts for /bin/sh, which the tree must have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from deployer.errors import ConfigurationError, DeployerError, Place
from deployer.generation.told_commands import ToldCommand, place_of
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made
from deployer.packages.recipes import DebianRecipe, PythonRecipe

if TYPE_CHECKING:
    from deployer.config import Config

_SHELL: Final = "dash"
"""The Debian package that brings /bin/sh."""
_PLACES: Final = frozenset({"bin/sh", "usr/bin/sh"})


class RootWithoutShell(ConfigurationError):
    """A service starts a script for /bin/sh, and its root tree has no shell."""

    unit: str
    directive: str
    package: str
    """Whose program it starts."""
    root: str
    """The package that is its root."""
    place: Place | None

    @property
    def message(self) -> str:
        """Which unit, and what it lacks."""
        return (
            f"unit '{self.unit}': {self.directive} runs a program of package '{self.package}', which is a script for /bin/sh, "
            f"and its root, package '{self.root}', has no /bin/sh"
        )

    @property
    def remedy(self) -> str:
        """How to have one."""
        return f"Add {_SHELL} to `packages` of package '{self.root}', and run 'deployer lock'."


def roots_without_shell(commands: Iterable[ToldCommand], config: Config, packages: PackageSet) -> Iterator[DeployerError]:
    """What is wrong with commands of units that have a root."""
    for command in commands:
        tree = packages.tree_around(command.root)
        if tree is None or _has_shell(*tree):
            continue
        package = next((name for program in command.programs if (name := _environment(program, packages))), "")
        if package:
            name = tree[0].name
            yield RootWithoutShell(command.unit, command.directive, package, name, place_of(config, command, package))


def _has_shell(recipe: DebianRecipe, made: Made) -> bool:
    debs = {deb["name"] for deb in json.loads(made.derivation.environment["debs"])}
    return _SHELL in debs or not _PLACES.isdisjoint(recipe.links)


def _environment(program: str, packages: PackageSet) -> str:
    """The package of kind `python` that a program is of; empty where it is of none."""
    recipes = (packages.recipe_of(made) for made in packages.mentioned(program) if program.startswith(f"{made.output}/"))
    return next((recipe.name for recipe in recipes if isinstance(recipe, PythonRecipe)), "")
