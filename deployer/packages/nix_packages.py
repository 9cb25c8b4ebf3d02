"""Packages of kind `nix`: a link to a store path that comes from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

from deployer.errors import Place
from deployer.formats import StorePath
from deployer.formats.storepath import StorePathRefused
from deployer.packages.derivation_inputs import Made, Source, make_derivation
from deployer.packages.errors import LockOutdated, PackageInvalid, StorePathMissing
from deployer.packages.lockfile import Lock, LockedAttribute
from deployer.packages.recipes import NixRecipe
from deployer.records import Record


class PinnedAttribute(Record):
    """An attribute of a Nix expression, and what the lock pins of it."""

    recipe: NixRecipe
    locked: LockedAttribute
    lock_file: Path


class NixPackages:
    """Makes them, and remembers what the lock pins of those that are attributes."""

    def __init__(self, lock: Lock, lock_file: Path, store_dir: str) -> None:
        """`lock_file` is for error messages, and attributes' files are relative to it."""
        self._lock, self._lock_file, self._store_dir = lock, lock_file, store_dir
        self._pinned: dict[StorePath, PinnedAttribute] = {}

    def make(self, recipe: NixRecipe) -> tuple[Made, StorePath]:
        """The derivation of a package, and the path that this is a link to. Raises `PackageInvalid`, `LockOutdated`."""
        locked = self._locked(recipe) if recipe.attribute else None
        text = locked.path if locked else recipe.path
        try:
            path = StorePath.parse(text, self._store_dir)
        except StorePathRefused:
            raise PackageInvalid(recipe.name, f"{text} is not in the store {self._store_dir}", recipe.place) from None
        if locked is not None:
            self._pinned[path] = PinnedAttribute(recipe, locked, self._lock_file)
        # A link to it, and not the path itself: so that it is made like any other package, by a derivation that refers to it.
        entries = [{"path": "", "type": "symlink", "target": str(path)}]
        made = make_derivation(
            recipe.full_name,
            builder="builtin:tree",
            system="builtin",
            environment={"entries": json.dumps(entries, sort_keys=True)},
            sources=(Source(path, Path(str(path)), frozenset(), is_cached=True),),
            store_dir=self._store_dir,
            architecture=locked.system.removesuffix("-linux") if locked else "",
        )
        return made, path

    def pinned(self, path: StorePath) -> PinnedAttribute | None:
        """The attribute that this path is; None where it is none."""
        return self._pinned.get(path)

    def missing(self, path: StorePath, place: Place | None, reason: str = "") -> StorePathMissing:
        """That nothing has it."""
        pinned = self._pinned.get(path)
        return StorePathMissing(str(path), place, reason, pinned.recipe.shown_file if pinned else "")

    def _locked(self, recipe: NixRecipe) -> LockedAttribute:
        locked, lock = self._lock.nix.get(recipe.name), str(self._lock_file)
        if locked is None:
            raise LockOutdated(recipe.name, lock, "does not pin it", recipe.place)
        if not locked.answers(recipe, self._lock_file):
            raise LockOutdated(recipe.name, lock, "pins another attribute", recipe.place)
        return locked
