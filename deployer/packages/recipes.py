"""Recipes: what a package is made from and how, checked, and not yet a derivation."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Final, Union

from deployer.errors import Place
from deployer.records import Record

VERSION_IN_URL: Final = "${version}"
DEBIAN_ARCHITECTURES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
"""Debian's names to those of uname(2)."""
MAIN: Final = "main"
"""The component of a suite that all Debian systems have; Ubuntu's `universe` is another."""
NIXPKGS: Final = "<nixpkgs>"
OMITTABLE: Final = ("dev", "optional", "peer")
"""What of a `package-lock.json` can be left out; npm marks by these words what is needed for that alone."""
CHARACTER_SETS: Final = "character_sets"
OMITTABLE_OF_TREES: Final = ("documentation", "translations", CHARACTER_SETS)
"""What of a set of Debian packages can be left out."""

Dependency = Union[str, "Recipe"]
"""A package by its name in the final set, or an exact recipe (what an overlay takes from `prev`)."""


class Recipe(Record, kw_only=True):
    """What all kinds have."""

    name: str
    place: Place | None = field(default=None, compare=False)
    version: str = ""
    """What people call this edition of it."""

    @property
    def full_name(self) -> str:
        """What its store path is called."""
        return safe_name(f"{self.name}-{self.version}" if self.version else self.name)

    @property
    def kind(self) -> str:
        """The word for it in packages.yaml."""
        return type(self).__name__.removesuffix("Recipe").lower()

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """The packages that this one is made from."""
        return ()


class FetchRecipe(Recipe, kw_only=True):
    """One file, from a URL or beside packages.yaml."""

    url: str = ""
    """`${version}` in it stands for the version."""
    file: Path | None = None
    hash: str = ""
    """SRI, of the file's content; a URL must have one."""
    executable: bool = False

    @property
    def real_url(self) -> str:
        """The URL with the version put in."""
        return self.url.replace(VERSION_IN_URL, self.version)


class ArchiveRecipe(Recipe, kw_only=True):
    """The tree in an archive."""

    source: Dependency
    strip_components: int = 0

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """The archive."""
        return (self.source,)


class BuildRecipe(Recipe, kw_only=True):
    """What a script makes in the sandbox."""

    script: str
    source: Dependency | Path | None = None
    inputs: tuple[Dependency, ...] = ()
    toolchain: Dependency
    environment: Mapping[str, str] = field(default_factory=dict)
    patches: tuple[Path, ...] = ()
    """Applied to the source in this order, before the script runs."""
    flags: tuple[str, ...] = ()

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """Source, inputs, toolchain."""
        source = () if self.source is None or isinstance(self.source, Path) else (self.source,)
        return (*source, *self.inputs, self.toolchain)


class DebianRecipe(Recipe, kw_only=True):
    """A root tree of Debian packages; which ones exactly is in the lock."""

    suites: tuple[str, ...]
    packages: tuple[str, ...]
    architecture: str = "amd64"
    links: Mapping[str, str] = field(default_factory=dict)
    """Name in the tree → target: what a maintainer script would have linked."""
    programs: tuple[str, ...] = ()
    """What goes on PATH; empty: the programs of `packages`, and not those of what they depend on."""
    locales: tuple[str, ...] = ()
    """Such as `de_DE.UTF-8`: made by what the tree has for it."""
    components: tuple[str, ...] = (MAIN,)
    """Of the suites."""
    omit: tuple[str, ...] = ()
    """What of the packages is left out: `documentation`, `translations`, `character_sets`."""


class PythonRecipe(Recipe, kw_only=True):
    """An environment of locked wheels, with the interpreter of a root tree of Debian packages."""

    interpreter: Dependency
    lock: Path
    """A `pylock.toml`, `uv.lock` or `requirements.txt`."""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    index: tuple[str, ...] = ()
    """URLs of the indexes that have the wheels of a requirements file."""
    source: Path | None = None
    """A directory whose modules are put beside those of the wheels."""

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """The interpreter."""
        return (self.interpreter,)


class NpmRecipe(Recipe, kw_only=True):
    """A project with its locked npm packages, run by the Node of a root tree of Debian packages."""

    interpreter: Dependency
    lock: Path
    """A `package-lock.json`."""
    omit: tuple[str, ...] = ("dev",)
    """What is left out: `dev`, `optional`, `peer`."""
    without_scripts: tuple[str, ...] = ()
    """Packages that are taken though their install scripts do not run."""
    registry: str = ""
    """The URL below which the tarballs are that the lock file has no URL of."""
    source: Path | None = None
    """A directory whose files are put beside `node_modules`."""

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """The interpreter."""
        return (self.interpreter,)


class NixRecipe(Recipe, kw_only=True):
    """A store path that a binary cache has, said by itself or as an attribute of a Nix expression."""

    path: str = ""
    """The whole path: `/nix/store/…-name`; empty where there is an `attribute`, whose path is in the lock."""
    attribute: str = ""
    """Of `file`, as `nix-build -A` takes it."""
    file: str = NIXPKGS
    """Of the expression: a path, or what Nix looks up in its search path."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Strings for the function that the expression is, by name."""

    @property
    def shown_file(self) -> str:
        """The expression, for people."""
        return self.file if self.file.startswith("<") else Path(self.file).name

    def locked_file(self, lock_file: Path) -> str:
        """The expression as a lock has it, which lies in any directory: relative to that."""
        return self.file if self.file.startswith("<") else os.path.relpath(self.file, lock_file.parent)


def is_requirements_file(path: Path) -> bool:
    """Whether it is a requirements file by its name: such a file has hashes, and no URLs."""
    return path.suffix == ".txt" or path.name.startswith("requirements")


def safe_name(name: str) -> str:
    """A name that a store path can have."""
    return re.sub(r"[^0-9a-zA-Z+._?=-]", "-", name).lstrip(".") or "unnamed"
