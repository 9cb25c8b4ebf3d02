"""Which packages make up an environment, and how they are seen in it. Pure: nothing is built or looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deployer.environments.errors import ArchitectureForeign, BaseNotRootTree
from deployer.errors import near
from deployer.generation.programs import machine_of, programs_of
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made
from deployer.packages.errors import PackageUnknown
from deployer.packages.launcher_tree import IN_USE
from deployer.packages.recipes import DebianRecipe
from deployer.sandbox.launcher import Spec

KEPT: Final = ("HOME", "LOGNAME", "TERM", "TZ", "USER")
"""The variables that a pure environment has from outside."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Packages as a program finds them."""

    names: tuple[str, ...]
    base: Made | None
    """The root tree whose `/usr` is that of the environment; None: the machine's own is."""
    members: tuple[Made, ...]
    """What has a `bin` that is on PATH, the first first."""
    mentioned: tuple[Made, ...] = ()
    """Packages that variables name."""

    @property
    def needed(self) -> tuple[Made, ...]:
        """All that must be in the store."""
        found = {made.output: made for made in (self.base, *self.members, *self.mentioned) if made is not None}
        return tuple(found.values())

    def spec(
        self, *, store: str, store_directory: str, keep: Sequence[str] | None, variables: Mapping[str, str] | None = None
    ) -> Spec:
        """What the launcher is told. `store`: where the store really lies; `keep`: the only variables that stay; None: all."""
        in_use = ":".join(str(made.output) for made in self.needed)
        return Spec(
            root="" if self.base is None else str(self.base.output),
            store_directory=store_directory,
            store="" if store == store_directory else store,
            path=tuple(f"{made.output}/bin" for made in self.members),
            environment={**(variables or {}), IN_USE: in_use, "DEPLOYER_PACKAGES": " ".join(self.names)},
            keep=None if keep is None else tuple(sorted(set(keep))),
        )


def compose(
    packages: PackageSet, names: Sequence[str], *, machine: str, store_dir: str, base: str = "", mentioned: Iterable[str] = ()
) -> Environment:
    """Put packages together. `machine` is this one's kind, as `uname -m` says it.

    The root tree named `base`, or the first among `names`, becomes the environment's own; of others, the programs are on PATH,
    each of which sees its own tree. Raises `PackageUnknown`, `BaseNotRootTree`, `ArchitectureForeign`, and what is wrong with
    packages.
    """
    for name in (*names, *([base] if base else [])):
        if name not in packages.recipes:
            raise PackageUnknown(name, near(name, packages.names()))
    roots = [name for name in names if isinstance(packages.recipes[name], DebianRecipe)]
    if base and not isinstance(packages.recipes[base], DebianRecipe):
        raise BaseNotRootTree(base, tuple(roots))
    chosen = base or next(iter(roots), "")
    for name in {*roots, *([base] if base else [])}:
        recipe = packages.recipes[name]
        if isinstance(recipe, DebianRecipe) and machine_of(recipe) != machine:
            raise ArchitectureForeign(name, recipe.architecture, machine, recipe.place)
    members = tuple(programs_of(packages, name, store_dir) for name in dict.fromkeys(names) if name != chosen)
    return Environment(
        tuple(dict.fromkeys(names)),
        packages.made(chosen) if chosen else None,
        members,
        tuple(packages.made(name) for name in sorted({*mentioned})),
    )


def main_programs(packages: PackageSet, name: str) -> tuple[str, ...]:
    """Names that the program of a package may have, the likeliest first."""
    recipe = packages.recipes[name]
    debian = (
        (*recipe.programs, *(package.partition("=")[0] for package in recipe.packages))
        if isinstance(recipe, DebianRecipe)
        else ()
    )
    return tuple(dict.fromkeys((name, *debian)))
