"""What is worth a warning in commands that a host is told to run: programs of root trees that would run outside of their tree.

Whether a text that names one, such as that of a shell, only reads it or runs it can't be told; nor whether a host has a program
of that name itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from deployer.generation.told_commands import ToldCommand, place_of
from deployer.generation.tree_programs import ON_PATH, tree_of
from deployer.packages import PackageSet
from deployer.packages.recipes import DebianRecipe

if TYPE_CHECKING:
    from deployer.config import Config

_PATH: Final = re.compile(r"/[^\s\"'`;|&()<>$:,=]+")
_DIRECTORIES: Final = frozenset({"bin", "sbin", "games"})


def warnings_of_commands(commands: Iterable[ToldCommand], config: Config, packages: PackageSet) -> Iterator[str]:
    """What may happen, and what to write instead."""
    on_path = _on_path(config, packages)
    for command in commands:
        found = {package: _instead_of_mention(command, package, program) for package, program in _mentioned(command, packages)}
        name = command.programs[-1]
        if name in on_path and not command.finds_more and not _trees_around(command, packages):
            found[on_path[name]] = _instead_of_name(name)
        for package, warning in found.items():
            place = place_of(config, command, package)
            yield f"{place}: {command.whose}: {warning}" if place else f"{command.whose}: {warning}"


def _mentioned(command: ToldCommand, packages: PackageSet) -> Iterator[tuple[str, str]]:
    """Programs of root trees, with their packages, that what runs is told of and that are not of its own tree."""
    around = _trees_around(command, packages)
    for path in _PATH.findall("\n".join(command.arguments)):
        tree = tree_of(path, packages)
        if tree is not None and tree.recipe.name not in around[-1:] and PurePosixPath(path).parent.name in _DIRECTORIES:
            yield tree.recipe.name, tree.inside(path)


def _trees_around(command: ToldCommand, packages: PackageSet) -> list[str]:
    """The packages whose trees are entered one after another; what the last program starts runs in the last."""
    return [tree.recipe.name for program in command.programs if (tree := tree_of(program, packages)) is not None]


def _on_path(config: Config, packages: PackageSet) -> dict[str, str]:
    """Names of programs that `packages` is likely to bring from root trees, to the packages."""
    found: dict[str, str] = {}
    for package in config.get("packages"):
        recipe = packages.recipes.get(package)
        if isinstance(recipe, DebianRecipe):
            found |= dict.fromkeys(recipe.programs or (name.partition("=")[0] for name in recipe.packages), package)
    return found


def _instead_of_mention(command: ToldCommand, package: str, program: str) -> str:
    name = program.rpartition("/")[2]
    told = f"if {command.programs[-1]} runs {program} of package '{package}', that gets the host's libraries, or none. "
    on_path = f"{package} in `packages` and write {ON_PATH}/{name}"
    if command.judges:
        return f"{told}Begin the command with ${{pkgs.{package}}}{program}"
    if command.service:
        return f"{told}Give the service its tree, `systemd.roots: {{{command.service}: '${{pkgs.{package}}}'}}`, or put {on_path}"
    if command.unit:
        return f"{told}Put {on_path}"
    return f"{told}Begin the command with ${{pkgs.{package}}}{program}, or put {on_path}"


def _instead_of_name(name: str) -> str:
    return f"'{name}' is looked for among the host's own programs only. For that of `packages` write {ON_PATH}/{name}"
