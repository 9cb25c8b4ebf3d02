"""Recipes to derivations: exactly what is built, with output paths that are known before anything is.

Everything here is pure but for reading the files that a recipe names beside packages.yaml.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deployer.errors import Place
from deployer.formats import StorePath
from deployer.packages.debian.trees import debian_tree
from deployer.packages.derivation_inputs import Made, Source, make_derivation, needed_first
from deployer.packages.errors import LockOutdated, PackageInvalid, StorePathMissing
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian
from deployer.packages.nix_packages import NixPackages, PinnedAttribute
from deployer.packages.recipes import (
    DEBIAN_ARCHITECTURES,
    ArchiveRecipe,
    BuildRecipe,
    DebianRecipe,
    Dependency,
    FetchRecipe,
    NixRecipe,
    NpmRecipe,
    PythonRecipe,
    Recipe,
    safe_name,
)
from deployer.packages.sources import Sources

if TYPE_CHECKING:
    from deployer.store import Store

DEFAULT_STORE_DIR: Final = "/nix/store"
SYSTEM: Final = "x86_64-linux"
_BUILTIN: Final = "builtin"
_PROLOGUE: Final = """\
if [ -n "${src:-}" ]; then
    if [ -d "$src" ]; then cp -Rp "$src" source; chmod -R u+w source; cd source; fi
fi
"""
_STORE_TIME: Final = "1"
"""The date of all in a store, in seconds; compilers write it instead of the time (the SOURCE_DATE_EPOCH specification)."""
_PATCHING: Final = """\
for patch in $patches; do patch -p1 <"$patch"; done
"""

MakeDependency = Callable[[Dependency], Made]
FindRecipe = Callable[[Dependency], Recipe]
MakePython = Callable[[str], Made]
"""The Python that launchers run on, for a kind of machine as `uname -m` says it."""


class DerivationMaker:
    """Makes the derivation of each kind of recipe, and writes derivations into a store."""

    def __init__(self, lock: Lock, lock_file: Path, store_dir: str) -> None:
        """`lock_file` is for error messages."""
        self._lock, self._lock_file, self._store_dir = lock, lock_file, store_dir
        self._sources = Sources(store_dir)
        self._places: dict[str, Place] = {}
        self._warnings: dict[str, str] = {}
        self._nix_packages = NixPackages(lock, lock_file, store_dir)

    def make(self, recipe: Recipe, dependency: MakeDependency, find: FindRecipe, python: MakePython) -> Made:
        """The derivation of a recipe; `dependency` makes those of others, `find` tells what they are, `python` makes our own.

        Raises `PackageInvalid`, `LockOutdated`.
        """
        match recipe:
            case FetchRecipe():
                return self._fetch(recipe)
            case ArchiveRecipe():
                return self._archive(recipe, dependency)
            case BuildRecipe():
                return self._build(recipe, dependency)
            case DebianRecipe():
                files = [(deb, self._deb(deb)) for deb in self.locked(recipe).debs]
                return debian_tree(recipe, files, dependency, self._store_dir)
            case PythonRecipe():
                return self._python(recipe, dependency(recipe.interpreter), find(recipe.interpreter))
            case NpmRecipe():
                return self._npm(recipe, dependency(recipe.interpreter), find(recipe.interpreter), python)
            case NixRecipe():
                return self._nix(recipe)
            case _:
                raise TypeError(f"{type(recipe).__name__} is no kind of recipe")

    def place_of(self, output: str) -> Place | None:
        """Where the hash of a fixed output is pinned."""
        return self._places.get(output)

    def warning_of(self, output: str) -> str:
        """What is worth a word of the package with this output; empty: nothing."""
        return self._warnings.get(output, "")

    def pinned_attribute(self, path: StorePath) -> PinnedAttribute | None:
        """The attribute of a Nix expression that is this path; None where it is none."""
        return self._nix_packages.pinned(path)

    def missing_path(self, path: StorePath, reason: str = "") -> StorePathMissing:
        """That nothing has a path of `cached_paths`."""
        return self._nix_packages.missing(path, self.place_of(str(path)), reason)

    def cached_paths(self, made: Iterable[Made]) -> tuple[StorePath, ...]:
        """The store paths that must be had from binary caches before `write`."""
        return tuple(sorted({source.path for item in needed_first(made) for source in item.sources if source.is_cached}))

    def write(self, store: Store, made: Iterable[Made]) -> None:
        """Write derivations and all that they need into a store, needed ones first. Raises `StorePathMissing`."""
        ordered = needed_first(made)
        valid = store.valid([item.path for item in ordered])
        for item in ordered:
            if str(item.path) not in valid:
                for source in item.sources:
                    if store.is_valid(source.path):
                        continue
                    if source.is_cached:
                        raise self.missing_path(source.path)
                    store.add_tree(source.origin.name, source.origin, ignored=source.ignored)
                store.write_derivation(item.derivation)

    def _fetch(self, recipe: FetchRecipe) -> Made:
        if recipe.file is not None:
            source = self._source(recipe, recipe.file, wanted=recipe.hash)
            if recipe.file.is_dir():
                raise PackageInvalid(recipe.name, f"{recipe.file} is a directory; 'fetch' is for one file", recipe.place)
            return self._copy(recipe, str(source.path), sources=(source,))
        name = recipe.full_name
        if not recipe.executable:
            return self._fetch_url(name, recipe.real_url, recipe.hash, recipe.place)
        fetched = self._fetch_url(f"{name}-file", recipe.real_url, recipe.hash, recipe.place)
        return self._copy(recipe, str(fetched.output), inputs=(fetched,))

    def _fetch_url(self, name: str, url: str, digest: str, place: Place | None) -> Made:
        algorithm, _, text = digest.partition("-")
        environment = {"url": url, "urls": url, "executable": "", "unpack": "", "preferLocalBuild": "1"}
        made = make_derivation(
            name,
            builder="builtin:fetchurl",
            system=_BUILTIN,
            environment=environment,
            fixed=(algorithm, base64.b64decode(text)),
            store_dir=self._store_dir,
        )
        if place is not None:
            self._places[str(made.output)] = place
        return made

    def _copy(self, recipe: FetchRecipe, file: str, *, sources: tuple[Source, ...] = (), inputs: tuple[Made, ...] = ()) -> Made:
        entries = [{"path": "", "type": "file", "source": file, "executable": recipe.executable}]
        return make_derivation(
            recipe.full_name,
            builder="builtin:tree",
            system=_BUILTIN,
            environment={"entries": json.dumps(entries, sort_keys=True)},
            sources=sources,
            inputs=inputs,
            store_dir=self._store_dir,
        )

    def _archive(self, recipe: ArchiveRecipe, dependency: MakeDependency) -> Made:
        archive = dependency(recipe.source)
        return make_derivation(
            recipe.full_name,
            builder="builtin:unpack",
            system=_BUILTIN,
            environment={"src": str(archive.output), "strip_components": str(recipe.strip_components)},
            inputs=(archive,),
            store_dir=self._store_dir,
        )

    def _build(self, recipe: BuildRecipe, dependency: MakeDependency) -> Made:
        toolchain = dependency(recipe.toolchain)
        inputs = [dependency(needed) for needed in recipe.inputs]
        path = [f"{item.output}/bin" for item in inputs]
        environment = {
            "SOURCE_DATE_EPOCH": _STORE_TIME,
            **recipe.environment,
            "PATH": ":".join([*path, "/usr/bin", "/bin", "/usr/sbin", "/sbin"]),
            "inputs": " ".join(str(item.output) for item in inputs),
            "toolchain": str(toolchain.output),
        }
        patches = tuple(self._source(recipe, patch) for patch in recipe.patches)
        prologue = _PROLOGUE
        if patches:
            environment["patches"] = " ".join(str(patch.path) for patch in patches)
            prologue += _PATCHING
        if recipe.flags:
            environment["flags"] = " ".join(recipe.flags)
        if recipe.version:
            environment["version"] = recipe.version
        sources = patches
        if isinstance(recipe.source, Path):
            sources = (self._source(recipe, recipe.source), *patches)
            environment["src"] = str(sources[0].path)
        elif recipe.source is not None:
            source = dependency(recipe.source)
            inputs.append(source)
            environment["src"] = str(source.output)
        return make_derivation(
            recipe.full_name,
            builder="/bin/sh",
            arguments=("-e", "-c", prologue + recipe.script),
            system=SYSTEM,
            environment=environment,
            inputs=(toolchain, *inputs),
            sources=sources,
            store_dir=self._store_dir,
            architecture=SYSTEM.partition("-")[0],
        )

    def locked(self, recipe: DebianRecipe) -> LockedDebian:
        """What the lock pins for a recipe. Raises `LockOutdated`."""
        locked = self._lock.debian.get(recipe.name)
        lock = str(self._lock_file)
        if locked is None:
            raise LockOutdated(recipe.name, lock, "does not pin it", recipe.place)
        if not locked.answers(recipe):
            raise LockOutdated(recipe.name, lock, "pins another set of packages", recipe.place)
        return locked

    def _python(self, recipe: PythonRecipe, root: Made, interpreter: Recipe) -> Made:
        # Its library is needed for this kind only.
        from deployer.packages.python import PythonPlatform, select_wheels

        locked = self._locked_interpreter(recipe, interpreter, "python3")
        platform = PythonPlatform.of(interpreter.name, locked.architecture, locked.debs, asker=recipe.name, place=recipe.place)
        wheels = select_wheels(
            recipe.name,
            recipe.lock,
            platform,
            extras=recipe.extras,
            groups=recipe.groups,
            place=recipe.place,
            pinned=self._lock.python.get(recipe.name),
            pins_file=self._lock_file,
        )
        inputs, sources = [root], list[Source]()
        files: list[dict[str, str]] = []
        for wheel in wheels:
            if wheel.path is None:
                fetched = self._fetch_url(safe_name(wheel.filename), wheel.url, wheel.digest, wheel.place)
                inputs.append(fetched)
                files.append({"name": wheel.filename, "file": str(fetched.output)})
            else:
                sources.append(self._source(recipe, wheel.path, wanted=wheel.digest, place=wheel.place))
                files.append({"name": wheel.filename, "file": str(sources[-1].path)})
        environment = {
            "interpreter": str(root.output),
            "version": platform.full_version,
            "wheels": json.dumps(files, sort_keys=True),
        }
        if recipe.source is not None:
            sources.append(self._source(recipe, recipe.source))
            environment["source"] = str(sources[-1].path)
        if platform.needs_link:
            environment["needs_link"] = "1"
        return make_derivation(
            recipe.full_name,
            builder="builtin:python-environment",
            system=_BUILTIN,
            environment=environment,
            inputs=tuple(inputs),
            sources=tuple(sources),
            store_dir=self._store_dir,
            architecture=root.architecture,
        )

    def _npm(self, recipe: NpmRecipe, root: Made, interpreter: Recipe, python: MakePython) -> Made:
        from deployer.packages.npm import NodeInputs, NodePlatform, environment_of, select_packages, warning_of_unmet

        locked = self._locked_interpreter(recipe, interpreter, "nodejs")
        platform = NodePlatform.of(interpreter.name, locked.architecture, locked.debs, asker=recipe.name, place=recipe.place)
        project = select_packages(
            recipe.name,
            recipe.lock,
            platform,
            omit=recipe.omit,
            without_scripts=recipe.without_scripts,
            source=recipe.source,
            registry=recipe.registry,
            place=recipe.place,
        )
        inputs = NodeInputs(
            root=root,
            python=python(DEBIAN_ARCHITECTURES[locked.architecture]),
            source=None if recipe.source is None else self._source(recipe, recipe.source),
            fetch=lambda item: self._fetch_url(safe_name(item.filename), item.url, item.digest, item.place),
        )
        made = environment_of(recipe.full_name, project, inputs, store_dir=self._store_dir)
        if project.unmet:
            self._warnings[str(made.output)] = warning_of_unmet(recipe, interpreter.name, platform, project)
        return made

    def _locked_interpreter(self, recipe: Recipe, interpreter: Recipe, package: str) -> LockedDebian:
        return self.locked(interpreter_of(recipe, interpreter, package))

    def _nix(self, recipe: NixRecipe) -> Made:
        made, path = self._nix_packages.make(recipe)
        if recipe.place is not None:
            self._places[str(path)] = recipe.place
        return made

    def _deb(self, deb: LockedDeb) -> Made:
        digest = base64.b64encode(bytes.fromhex(deb.sha256)).decode()
        name = safe_name(deb.file.rpartition("/")[2])
        return self._fetch_url(name, f"mirror://debian/{deb.file}", f"sha256-{digest}", Place(str(self._lock_file)))

    def _source(self, recipe: Recipe, path: Path, *, wanted: str = "", place: Place | None = None) -> Source:
        try:
            return self._sources.add(path, wanted=wanted, place=place or recipe.place)
        except FileNotFoundError:
            what = "A path is relative to packages.yaml: correct it, or create the file."
            raise PackageInvalid(recipe.name, f"there is no {path}", place or recipe.place, what) from None


def interpreter_of(recipe: Recipe, interpreter: Recipe, package: str) -> DebianRecipe:
    """The root tree that is to have the Debian package of an interpreter in it. Raises `PackageInvalid`."""
    if isinstance(interpreter, DebianRecipe):
        return interpreter
    hint = f"Name a package of kind 'debian' that has {package} in it."
    raise PackageInvalid(recipe.name, f"its interpreter {interpreter.name!r} is not of kind 'debian'", recipe.place, hint)
