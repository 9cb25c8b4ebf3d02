"""Derivations and what is in the store, as a list of materials and of which needs which."""

from __future__ import annotations

import email.parser
import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deployer.build.archives import deb_control_file
from deployer.materials.licences import debian_licences, wheel_licences
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made, Source, needed_first
from deployer.packages.recipes import DebianRecipe

if TYPE_CHECKING:
    from deployer.store import Store

_TREE: Final = "builtin:debian-root"
_PYTHON: Final = "builtin:python-environment"
_MIRROR: Final = "mirror://debian/"
_RELATION: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One thing that a closure holds, or was built with."""

    reference: str
    """What names it in the list: its package URL, else the name of its store path."""
    name: str
    version: str = ""
    is_file: bool = False
    """Whether it is a file or directory and not a piece of software with a name."""
    package_url: str = ""
    hashes: tuple[tuple[str, str], ...] = ()
    """Algorithm (`sha256`, `sha512`) and hexadecimal digest."""
    url: str = ""
    store_path: str = ""
    runs: bool = False
    """Whether it is in the closure that hosts get, and not only what that was built with."""
    licences: tuple[str, ...] = ()
    """All of them hold."""
    needs: tuple[str, ...] = ()
    """References."""


def debs_of(made: Iterable[Made]) -> tuple[Made, ...]:
    """The .debs among all that these are made from: they must be in the store before `list_materials`."""
    return tuple(item for item in needed_first(made) if _url(item).startswith(_MIRROR))


def list_materials(packages: PackageSet, store: Store, made: Iterable[Made]) -> tuple[Material, ...]:
    """All that these packages, which are in the store, are made from, by reference. Raises `ArchiveRefused`."""
    return _Listing(packages, store, tuple(made)).materials()


class _Listing:
    def __init__(self, packages: PackageSet, store: Store, roots: tuple[Made, ...]) -> None:
        self._packages, self._store, self._roots = packages, store, roots
        self._running = frozenset(map(str, store.closure([root.output for root in roots])))
        self._found: dict[str, Material] = {}
        self._references: dict[str, str] = {}
        """By store path."""

    def materials(self) -> tuple[Material, ...]:
        ordered = needed_first(self._roots)
        parts = {entry["file"] for item in ordered for entry in _parts(item)}
        for item in ordered:
            for source in item.sources:
                if str(source.path) not in parts:
                    self._add_source(source)
            if str(item.output) in parts:
                continue  # told by the tree that it is a part of
            if item.derivation.builder == _TREE:
                self._add_tree(item)
            elif item.derivation.builder == _PYTHON:
                self._add_python(item)
            elif item.derivation.outputs["out"].digest:
                self._add(_fetched(item, self._name(item)), item)
            else:
                self._add(Material(reference="", name=self._name(item), version=self._version(item)), item, self._needs(item))
        return tuple(self._found[reference] for reference in sorted(self._found))

    def _add(self, material: Material, made: Made, needs: Iterable[str] = ()) -> None:
        path = str(made.output)
        runs = path in self._running
        name = Path(path).name
        self._keep(replace(material, reference=name, store_path=path, runs=runs, needs=tuple(sorted({*needs}))))
        self._references[path] = name

    def _keep(self, material: Material) -> None:
        known = self._found.get(material.reference)
        if known is not None:  # of several trees: it runs where any of them does
            needs = tuple(sorted({*known.needs, *material.needs}))
            material = replace(
                material, runs=known.runs or material.runs, needs=needs, licences=known.licences or material.licences
            )
        self._found[material.reference] = material

    def _needs(self, made: Made) -> list[str]:
        paths = [*(str(needed.output) for needed in made.inputs), *(str(source.path) for source in made.sources)]
        return [self._references[path] for path in paths if path in self._references]

    def _name(self, made: Made) -> str:
        recipe = self._packages.recipe_of(made)
        return recipe.name if recipe is not None else made.derivation.name

    def _version(self, made: Made) -> str:
        recipe = self._packages.recipe_of(made)
        return recipe.version if recipe is not None else ""

    def _add_source(self, source: Source) -> None:
        if source.is_cached:
            for path in self._store.closure([source.path]):
                name = Path(str(path)).name
                needs = sorted(
                    Path(str(needed)).name for needed in self._store.query(path).references if str(needed) != str(path)
                )
                runs = str(path) in self._running
                title = name.partition("-")[2]
                self._keep(Material(reference=name, name=title, store_path=str(path), runs=runs, needs=tuple(needs)))
        else:
            name = Path(str(source.path)).name
            title, local = source.origin.name, str(source.path)
            runs = local in self._running
            self._keep(
                Material(reference=name, name=title, is_file=True, hashes=_hashes_of_file(source), store_path=local, runs=runs)
            )
        self._references[str(source.path)] = Path(str(source.path)).name

    def _add_tree(self, made: Made) -> None:
        recipe = self._packages.recipe_of(made)
        suite = recipe.suites[0] if isinstance(recipe, DebianRecipe) else ""
        runs = str(made.output) in self._running
        inputs = {str(needed.output): needed for needed in made.inputs}
        root = self._store.physical(made.output)
        controls: dict[str, tuple[Message, Made]] = {}
        for deb in _parts(made):
            text = deb_control_file(self._store.physical(deb["file"]), deb["name"], "control")
            controls[deb["name"]] = (email.parser.HeaderParser().parsestr(text), inputs[deb["file"]])
        references = {name: _deb_url(control, suite) for name, (control, _) in controls.items()}
        provided = {
            virtual: name for name, (control, _) in sorted(controls.items()) for virtual in _names(control.get("Provides", ""))
        }
        for name, (control, fetched) in controls.items():
            relations = f"{control.get('Pre-Depends', '')}, {control.get('Depends', '')}"
            needed = {references[provided.get(one, one)] for one in _names(relations) if provided.get(one, one) in references}
            copyright_file = _inside(root, f"usr/share/doc/{name}/copyright")
            self._keep(
                Material(
                    reference=references[name],
                    name=name,
                    version=control.get("Version", ""),
                    package_url=references[name],
                    hashes=_hashes(fetched),
                    runs=runs,
                    licences=debian_licences(copyright_file.read_text(errors="replace")) if copyright_file else (),
                    needs=tuple(sorted(needed - {references[name]})),
                )
            )
        self._add(Material(reference="", name=self._name(made)), made, references.values())

    def _add_python(self, made: Made) -> None:
        from packaging.requirements import Requirement
        from packaging.utils import canonicalize_name, parse_wheel_filename

        environment = made.derivation.environment
        inputs = {str(needed.output): needed for needed in made.inputs}
        sources = {str(source.path): source for source in made.sources}
        wheels = {}
        for wheel in _parts(made):
            name, version, _, _ = parse_wheel_filename(wheel["name"])
            wheels[name] = (str(version), wheel["name"], wheel["file"])
        references = {name: _wheel_url(name, version, file) for name, (version, file, _) in wheels.items()}
        site = f"lib/python{'.'.join(environment['version'].split('.')[:2])}/site-packages"
        metadata = {}
        for found in sorted(self._store.physical(made.output).glob(f"{site}/*.dist-info/METADATA")):
            message = email.parser.HeaderParser().parsestr(found.read_text(errors="replace"))
            metadata[canonicalize_name(str(message["Name"]))] = message
        for name, (number, _, file) in wheels.items():
            told = metadata.get(name)
            requirements = [Requirement(one) for one in told.get_all("Requires-Dist", [])] if told is not None else []
            needed = {canonicalize_name(one.name) for one in requirements if "extra" not in str(one.marker or "")}
            fetched = inputs.get(file)
            self._keep(
                Material(
                    reference=references[name],
                    name=name,
                    version=number,
                    package_url=references[name],
                    hashes=_hashes(fetched) if fetched else _hashes_of_file(sources[file]),
                    url=_url(fetched) if fetched else "",
                    runs=str(made.output) in self._running,
                    licences=wheel_licences(told) if told is not None else (),
                    needs=tuple(sorted({references[one] for one in needed if one in references} - {references[name]})),
                )
            )
            self._references[file] = references[name]
        self._add(Material(reference="", name=self._name(made), version=self._version(made)), made, self._needs(made))


def _parts(made: Made) -> list[dict[str, str]]:
    """The .debs of a tree and the wheels of an environment: `name` and `file`."""
    key = {_TREE: "debs", _PYTHON: "wheels"}.get(made.derivation.builder)
    return json.loads(made.derivation.environment[key]) if key else []


def _fetched(made: Made, name: str) -> Material:
    url = _url(made)
    return Material(reference="", name=name, is_file=True, hashes=_hashes(made), url=url)


def _url(made: Made) -> str:
    return made.derivation.environment.get("url", "") if made.derivation.builder == "builtin:fetchurl" else ""


def _hashes(made: Made) -> tuple[tuple[str, str], ...]:
    output = made.derivation.outputs["out"]
    return ((output.algorithm, output.digest),)


def _hashes_of_file(source: Source) -> tuple[tuple[str, str], ...]:
    return (("sha256", hashlib.sha256(source.origin.read_bytes()).hexdigest()),) if source.origin.is_file() else ()


def _deb_url(control: Message, suite: str) -> str:
    from urllib.parse import quote

    name, version = quote(control["Package"]), quote(control["Version"], safe=":~")
    qualifiers = f"arch={control['Architecture']}{f'&distro={quote(suite)}' if suite else ''}"
    return f"pkg:deb/debian/{name}@{version}?{qualifiers}"


def _wheel_url(name: str, version: str, file: str) -> str:
    from urllib.parse import quote

    return f"pkg:pypi/{name}@{quote(version)}?file_name={quote(file)}"


def _names(relations: str) -> list[str]:
    """The packages that a relation names, all alternatives; those that are not there are nobody's need."""
    parts = re.split(r"[,|]", " ".join(relations.split()))
    return [match[0] for part in parts if (match := _RELATION.match(part.strip()))]


def _inside(root: Path, name: str) -> Path | None:
    """A file of a tree, where no link leads out of the tree."""
    real = Path(os.path.realpath(root / name))
    return real if real.is_relative_to(Path(os.path.realpath(root))) and real.is_file() else None
