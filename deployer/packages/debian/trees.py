"""Root trees of Debian packages as derivations: of the .debs that the lock pins, and of locales that are made for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from deployer.packages.debian.locales import locales_of
from deployer.packages.derivation_inputs import Made, make_derivation
from deployer.packages.errors import PackageInvalid
from deployer.packages.lockfile import LockedDeb
from deployer.packages.recipes import DEBIAN_ARCHITECTURES, DebianRecipe

_LOCALES: Final = "locales"
"""The Debian package that locales are made from."""


def debian_tree(
    recipe: DebianRecipe, files: Sequence[tuple[LockedDeb, Made]], plain: Callable[[DebianRecipe], Made], store_dir: str
) -> Made:
    """The tree of a recipe. `files` are its .debs as they are fetched; `plain` makes the tree without locales, which makes these.

    Raises `PackageInvalid` where there is nothing to make locales from.
    """
    debs = [{"name": deb.name, "file": str(made.output)} for deb, made in files]
    environment = {
        "debs": json.dumps(debs, sort_keys=True),
        "links": json.dumps(dict(recipe.links), sort_keys=True),
        "completion": "1",
    }
    if recipe.programs:
        # The tree is the same without; but who knows a package by its path learns that its programs are others.
        environment["programs"] = " ".join(recipe.programs)
    if recipe.omit:
        environment["omit"] = " ".join(sorted(set(recipe.omit)))
    locales: dict[str, Made] = {}
    if recipe.locales:
        if not any(deb.name == _LOCALES for deb, _ in files):
            hint = f"Add {_LOCALES} to its 'packages', and run 'deployer lock'."
            raise PackageInvalid(
                recipe.name, f"its locales are made from the package {_LOCALES!r}, which it lacks", recipe.place, hint
            )
        locales = locales_of(plain(replace(recipe, locales=(), programs=())), recipe.locales, store_dir)
        environment["locales"] = json.dumps({name: str(made.output) for name, made in locales.items()}, sort_keys=True)
    return make_derivation(
        recipe.full_name,
        builder="builtin:debian-root",
        system="builtin",
        environment=environment,
        inputs=(*(made for _, made in files), *locales.values()),
        store_dir=store_dir,
        architecture=DEBIAN_ARCHITECTURES[recipe.architecture],
    )
