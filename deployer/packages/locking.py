"""Writing deployer.lock: what sets of Debian packages and attributes of Nix come to today, and wheels for mere hashes."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployer.errors import Place, near, raise_all
from deployer.packages.debian.solving import solve
from deployer.packages.derivations import DEFAULT_STORE_DIR
from deployer.packages.errors import PackageInvalid, PackageUnknown
from deployer.packages.loading import read_package_file
from deployer.packages.lock_changes import LockChange, lock_changes
from deployer.packages.lockfile import LOCK_NAME, DebianRequest, Lock, LockedAttribute, LockedDebian, LockedWheels
from deployer.packages.mirrors import Mirror, find_mirrors
from deployer.packages.nix_expressions import evaluate
from deployer.packages.package_set import PackageSet
from deployer.packages.recipes import DebianRecipe, NixRecipe, PythonRecipe


@dataclass(frozen=True, slots=True)
class Locking:
    """A new lock, and what it changes."""

    lock: Lock
    changes: tuple[LockChange, ...]


async def lock_packages(
    packages: Path, *, only: Collection[str] = (), mirrors: Sequence[Mirror] | None = None, write: bool = True
) -> Locking:
    """Pin what packages.yaml does not pin itself, and, where `write` holds, write the lock beside it.

    With `only`, the others keep what they are pinned to, where that still is what they ask for. Raises `PackageUnknown`,
    `MirrorsUnknown`, `IndexRefused`, `PythonIndexUnknown`, `PythonIndexFailed`, `NixMissing`, `PackageInvalid`, `LockInvalid`,
    and errors of running apt and Nix.
    """
    file = packages.with_name(LOCK_NAME)
    content = read_package_file(packages)
    known = PackageSet(content.recipes, overlays=content.overlays)
    requests, of_python, of_nix = known.debian_requests(), known.python_requests(), known.nix_requests()
    asking: list[DebianRequest | PythonRecipe | NixRecipe] = [*requests, *(recipe for recipe, _ in of_python), *of_nix]
    names = [one.name for one in asking]
    raise_all([PackageUnknown(name, near(name, names), Place(str(packages))) for name in only if name not in names])
    old = Lock.read(file)
    kept = {
        request.name: old.debian[request.name]
        for request in requests
        if only and request.name not in only and request.name in old.debian and old.debian[request.name].answers(request)
    }
    stale = [request for request in requests if request.name not in kept]
    solved = await solve(stale, mirrors or find_mirrors()) if stale else {}
    debian = {**kept, **solved}
    wheels = {recipe.name: await _wheels(recipe, root, debian, old, only) for recipe, root in of_python}
    lock = Lock(
        debian,
        {name: locked for name, locked in wheels.items() if locked.wheels},
        {recipe.name: await _attribute(recipe, file, old, only) for recipe in of_nix},
    )
    if write:
        temporary = file.with_name(f".{file.name}.new")
        temporary.write_text(str(lock))
        os.replace(temporary, file)
    return Locking(lock, lock_changes(old, lock))


async def _attribute(recipe: NixRecipe, lock_file: Path, old: Lock, only: Collection[str]) -> LockedAttribute:
    pinned = old.nix.get(recipe.name)
    if only and recipe.name not in only and pinned is not None and pinned.answers(recipe, lock_file):
        return pinned
    return await evaluate(recipe, lock_file, DEFAULT_STORE_DIR)


async def _wheels(
    recipe: PythonRecipe, root: DebianRecipe, debian: Mapping[str, LockedDebian], old: Lock, only: Collection[str]
) -> LockedWheels:
    # Its library is needed for this kind only.
    from deployer.packages.python.index_settings import find_indexes
    from deployer.packages.python.pinning import answers, pin_wheels
    from deployer.packages.python.platform import PythonPlatform
    from deployer.packages.python.requirements import read_requirements

    locked = debian.get(root.name)
    if locked is None:
        hint = "Name a package of packages.yaml, so that it can be locked."
        raise PackageInvalid(recipe.name, f"its interpreter {root.name!r} is no package of its own", recipe.place, hint)
    platform = PythonPlatform.of(root.name, locked.architecture, locked.debs, asker=recipe.name, place=recipe.place)
    requirements = read_requirements(recipe.name, recipe.lock, recipe.place)
    pinned = old.python.get(recipe.name)
    if only and recipe.name not in only and pinned is not None and answers(recipe.name, requirements, platform, pinned):
        return pinned
    if not any(one.is_in_index for one in requirements.pinned):
        return LockedWheels(())
    indexes = await find_indexes(recipe.index or requirements.indexes, requirements.extra_indexes)
    return await pin_wheels(recipe.name, requirements, platform, indexes)
