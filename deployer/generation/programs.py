"""Programs that run on machines which lack their libraries: what a package puts on PATH.

A package that is a root tree has programs that find their libraries, and all else, in that tree only. So what goes on PATH is a
derivation of ours with a starter for each: it runs the program in a mount namespace in which the tree is `/usr`. The starter
needs nothing of the machine but `/bin/sh`: it brings the Python that it runs on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made, make_derivation
from deployer.packages.interpreter import MACHINES, interpreter, recipe_name
from deployer.packages.launcher_tree import IN_USE, launcher_tree
from deployer.packages.recipes import DebianRecipe, safe_name

_MACHINE_OF: Final = {debian: machine for machine, debian in MACHINES.items()}


def programs_of(packages: PackageSet, name: str, store_dir: str) -> Made:
    """The package whose `bin` has the programs of a package, to run anywhere. Raises what is wrong with packages."""
    recipe = packages.recipes[name]
    made = packages.made(name)
    return _isolated(packages, recipe, made, store_dir) if isinstance(recipe, DebianRecipe) else made


def starter_of(packages: PackageSet, recipe: DebianRecipe, root: Made, program: str, store_dir: str) -> Made:
    """The package whose `bin` has one program of a root tree, which is at the path `program` there, to run anywhere."""
    return _started(packages, recipe, root, store_dir, name=program.rpartition("/")[2], own=[], programs=program)


def made_from(packages: PackageSet, names: Iterable[str]) -> frozenset[str]:
    """The packages that `programs_of` these is made from."""
    known = frozenset(names)
    roots = (recipe for name in known if isinstance(recipe := packages.recipes.get(name), DebianRecipe))
    pythons = {recipe_name(machine_of(recipe)) for recipe in roots}
    return known | {name for name in pythons if name in packages.recipes}


def machine_of(recipe: DebianRecipe) -> str:
    """What kind of machine runs a root tree, as `uname -m` says it."""
    return _MACHINE_OF[recipe.architecture]


def _isolated(packages: PackageSet, recipe: DebianRecipe, root: Made, store_dir: str) -> Made:
    named = {package.partition("=")[0] for package in recipe.packages}
    own = [deb for deb in json.loads(root.derivation.environment["debs"]) if deb["name"] in named]
    return _started(packages, recipe, root, store_dir, name="programs", own=own, programs=" ".join(recipe.programs))


def _started(
    packages: PackageSet,
    recipe: DebianRecipe,
    root: Made,
    store_dir: str,
    *,
    name: str,
    own: Sequence[Mapping[str, str]],
    programs: str,
) -> Made:
    python, starter = interpreter(packages, machine_of(recipe), store_dir), launcher_tree(store_dir)
    files = {deb["file"] for deb in own}
    return make_derivation(
        safe_name(f"{recipe.name}-{name}"),
        builder="builtin:isolated-programs",
        system="builtin",
        environment={
            "root": str(root.output),
            "python": str(python.output),
            "launcher": str(starter.output),
            "variable": IN_USE,
            "debs": json.dumps(own, sort_keys=True),
            "programs": programs,
        },
        inputs=(root, python, starter, *(made for made in root.inputs if str(made.output) in files)),
        store_dir=store_dir,
        architecture=root.architecture,
    )
