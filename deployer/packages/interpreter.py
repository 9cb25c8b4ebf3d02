"""The Python that hosts without one are sent: a few Debian packages, pinned by hash, and cut down to what we need.

The pins come with deployer (`host_python.lock`; `script/lock-host-python` renews them). A package `host-python-x86_64` (or
`host-python-aarch64`) of kind `debian` in packages.yaml takes their place, so a project can have newer ones at any time.
No system refers to it: a host's system is the same whether the host has a Python of its own or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NoReturn

from deployer.errors import DeploymentError
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made, make_derivation
from deployer.packages.derivations import DerivationMaker
from deployer.packages.lockfile import Lock, LockedDebian
from deployer.packages.recipes import DebianRecipe, Dependency

NAME: Final = "host-python"
MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""What `uname -m` says, and what Debian calls it."""
SUITES: Final = ("bookworm", "bookworm-updates", "bookworm-security")
PACKAGES: Final = ("python3.11",)
_BUILDER: Final = "builtin:host-python"
LOCK_FILE: Final = Path(__file__).with_name("host_python.lock")


class MachineUnknown(DeploymentError):
    """There is no Python to be sent to a machine of this kind."""

    machine: str

    @property
    def message(self) -> str:
        """Which."""
        return f"there is no Python to send to a machine of the kind '{self.machine}'"

    @property
    def remedy(self) -> str:
        """How to do without."""
        return f"Install python3, 3.9 or newer, on the host. It can be sent to {' and '.join(MACHINES)}."


def recipe_name(machine: str) -> str:
    """The name of the package that takes the place of our pins."""
    return f"{NAME}-{machine}"


def interpreter(packages: PackageSet, machine: str, store_dir: str) -> Made:
    """How the Python for a kind of machine is made. Builds nothing. Raises `MachineUnknown`, and what is wrong with packages."""
    if machine not in MACHINES:
        raise MachineUnknown(machine)
    root = _root(packages, machine, store_dir)
    return make_derivation(
        NAME,
        builder=_BUILDER,
        system="builtin",
        environment={"root": str(root.output)},
        inputs=(root,),
        store_dir=store_dir,
    )


def pinned_roots(made: Iterable[Made]) -> dict[str, LockedDebian]:
    """What our own pins have of the Python that is among these, by the name of the package that would take their place."""
    roots = [item.inputs[0] for item in made if item.derivation.builder == _BUILDER]
    names = {recipe_name(root.architecture) for root in roots}
    pinned = Lock.read(LOCK_FILE).debian if names else {}
    return {name: pinned[name] for name in sorted(names)}


def _root(packages: PackageSet, machine: str, store_dir: str) -> Made:
    name = recipe_name(machine)
    if name in packages.recipes:
        return packages.made(name)
    recipe = DebianRecipe(name=name, place=None, suites=SUITES, packages=PACKAGES, architecture=MACHINES[machine])
    return DerivationMaker(Lock.read(LOCK_FILE), LOCK_FILE, store_dir).make(recipe, _nothing, _nothing, _nothing)


def _nothing(needed: Dependency) -> NoReturn:
    raise AssertionError(f"a root of Debian packages needs no {needed}")
