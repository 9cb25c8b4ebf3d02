"""`deployer.lock`: every input that packages.yaml does not pin itself, by hash. JSON, one input a line: its diffs read well."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, Final, TypeVar

from deployer.errors import Place
from deployer.formats import StorePath
from deployer.formats.storepath import StorePathRefused
from deployer.packages.errors import LockInvalid
from deployer.packages.recipes import MAIN, DebianRecipe, NixRecipe
from deployer.records import Record, fields_of

LOCK_NAME: Final = "deployer.lock"
_VERSION: Final = 1
_OUTPUT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.-]*")
_Named = TypeVar("_Named", "LockedDeb", "WheelPin")


class LockedDeb(Record):
    """One .deb, pinned."""

    name: str
    version: str
    architecture: str
    file: str
    """Its name relative to a mirror: `pool/main/…`."""
    size: int
    sha256: str
    """Hexadecimal."""


class LockedIndex(Record):
    """The signed index of one suite, as it was when the set was solved."""

    suite: str
    date: str
    """Of its Release file, in UTC: `2026-11-28T02:53:00Z`."""
    sha256: str
    """Of its Release file, in hexadecimal."""
    keys: tuple[str, ...]
    """The fingerprints of the primary keys whose signatures are good."""


class DebianRequest(Record):
    """What a package of kind `debian` asks for."""

    name: str
    suites: tuple[str, ...]
    packages: tuple[str, ...]
    architecture: str
    place: Place | None = None
    components: tuple[str, ...] = (MAIN,)


class LockedDebian(Record):
    """What a package of kind `debian` came to, and what it asked for then."""

    suites: tuple[str, ...]
    packages: tuple[str, ...]
    architecture: str
    debs: tuple[LockedDeb, ...]
    indexes: tuple[LockedIndex, ...] = ()
    components: tuple[str, ...] = (MAIN,)

    def answers(self, request: DebianRequest | DebianRecipe) -> bool:
        """Whether it was made for exactly this request."""
        asked = (request.suites, request.components, request.packages, request.architecture)
        return (self.suites, self.components, self.packages, self.architecture) == asked


class WheelPin(Record):
    """One wheel that an index had, pinned."""

    name: str
    """Normalised."""
    version: str
    file: str
    """Its file name."""
    url: str
    """Where the index says that it is; only its hash is believed."""
    size: int
    """Bytes; 0 where the index does not tell."""
    sha256: str
    """Hexadecimal."""


class LockedWheels(Record):
    """The wheels that a package of kind `python` takes for what its requirements file pins by hash alone."""

    wheels: tuple[WheelPin, ...]


class LockedAttribute(Record):
    """What an attribute of a Nix expression came to, and what was asked for then."""

    file: str
    """The expression, relative to the lock file; or what Nix looks up: `<nixpkgs>`."""
    attribute: str
    arguments: Mapping[str, str]
    path: str
    """Its store path."""
    derivation: str
    """That of the derivation that makes it."""
    output: str
    """Which of the derivation's outputs it is."""
    system: str
    """What it is built on, as Nix names it: `x86_64-linux`."""

    def answers(self, recipe: NixRecipe, lock_file: Path) -> bool:
        """Whether it was made for what this recipe asks for."""
        asked = (recipe.locked_file(lock_file), recipe.attribute, dict(recipe.arguments))
        return (self.file, self.attribute, dict(self.arguments)) == asked


class Lock(Record):
    """A whole lock file."""

    debian: Mapping[str, LockedDebian]
    python: Mapping[str, LockedWheels] = field(default_factory=dict)
    nix: Mapping[str, LockedAttribute] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Lock:
        """Read a lock file; one that does not exist pins nothing. Raises `LockInvalid`."""
        try:
            document = json.loads(file.read_text())
        except FileNotFoundError:
            return cls({})
        except json.JSONDecodeError as error:
            raise LockInvalid(error.msg, Place(str(file), error.lineno, error.colno)) from None
        except ValueError as error:
            raise LockInvalid(str(error), Place(str(file))) from None
        try:
            if document["version"] != _VERSION:
                raise LockInvalid(f"its version is {document['version']}, and we read {_VERSION}", Place(str(file)))
            return cls(
                {name: _locked_debian(entry) for name, entry in document["debian"].items()},
                {name: LockedWheels(tuple(map(_wheel, entry["wheels"]))) for name, entry in document.get("python", {}).items()},
                {name: _attribute(entry) for name, entry in document.get("nix", {}).items()},
            )
        except StorePathRefused as error:
            raise LockInvalid(error.message, Place(str(file))) from None
        except KeyError as error:
            raise LockInvalid(f"an entry lacks {error}", Place(str(file))) from None
        except (TypeError, ValueError, AttributeError) as error:
            raise LockInvalid(f"{type(error).__name__}: {error}", Place(str(file))) from None

    def __str__(self) -> str:
        """The file's text; equal locks have equal texts."""
        lines = ["{", f'  "version": {_VERSION},', '  "debian": {']
        lines += [",\n".join(_entry(name, _debian_lines(entry)) for name, entry in sorted(self.debian.items()))] * bool(
            self.debian
        )
        if self.python:
            entries = (_entry(name, _list("wheels", _by_name(entry.wheels))) for name, entry in sorted(self.python.items()))
            lines += ["  },", '  "python": {', ",\n".join(entries)]
        if self.nix:
            entries = (_entry(name, _attribute_lines(entry)) for name, entry in sorted(self.nix.items()))
            lines += ["  },", '  "nix": {', ",\n".join(entries)]
        return "\n".join([*lines, "  }", "}", ""])


def _entry(name: str, lines: Iterable[str]) -> str:
    return "\n".join([f"    {json.dumps(name)}: {{", *lines, "    }"])


def _debian_lines(entry: LockedDebian) -> Iterable[str]:
    yield f'      "suites": {json.dumps(entry.suites)},'
    if entry.components != (MAIN,):
        yield f'      "components": {json.dumps(entry.components)},'
    yield f'      "packages": {json.dumps(entry.packages)},'
    yield f'      "architecture": {json.dumps(entry.architecture)},'
    if entry.indexes:
        *indexes, last = _list("indexes", entry.indexes)
        yield from (*indexes, f"{last},")
    yield from _list("debs", _by_name(entry.debs))


def _attribute_lines(entry: LockedAttribute) -> Iterable[str]:
    *lines, last = (f"      {json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in asdict(entry).items())
    yield from (*(f"{line}," for line in lines), last)


def _list(key: str, items: Iterable[LockedDeb | LockedIndex | WheelPin]) -> Iterable[str]:
    return f'      "{key}": [', ",\n".join(f"        {json.dumps(asdict(item))}" for item in items), "      ]"


def _by_name(items: Iterable[_Named]) -> list[_Named]:
    return sorted(items, key=lambda item: item.name)


def _locked_debian(entry: Any) -> LockedDebian:
    return LockedDebian(
        tuple(_strings(entry["suites"])),
        tuple(_strings(entry["packages"])),
        str(entry["architecture"]),
        tuple(_locked_deb(deb) for deb in entry["debs"]),
        tuple(_locked_index(index) for index in entry.get("indexes", [])),
        tuple(_strings(entry.get("components", [MAIN]))),
    )


def _locked_index(entry: Any) -> LockedIndex:
    suite, date, sha256 = _strings([entry["suite"], entry["date"], entry["sha256"]])
    return LockedIndex(suite, date, sha256, tuple(_strings(entry["keys"])))


def _locked_deb(entry: Any) -> LockedDeb:
    deb = LockedDeb(**{field.name: entry[field.name] for field in fields_of(LockedDeb)})
    if (
        len(bytes.fromhex(deb.sha256)) != 32
        or not isinstance(deb.size, int)
        or deb.file.startswith("/")
        or ".." in deb.file.split("/")
    ):
        raise ValueError(f"the entry of {deb.name} is not sound")
    return deb


def _wheel(entry: Any) -> WheelPin:
    wheel = WheelPin(**{field.name: entry[field.name] for field in fields_of(WheelPin)})
    texts = _strings([wheel.name, wheel.version, wheel.file, wheel.url, wheel.sha256])
    if len(bytes.fromhex(wheel.sha256)) != 32 or not isinstance(wheel.size, int) or "/" in wheel.file or "" in texts:
        raise ValueError(f"the entry of {wheel.name} is not sound")
    return wheel


def _attribute(entry: Any) -> LockedAttribute:
    locked = LockedAttribute(**{field.name: entry[field.name] for field in fields_of(LockedAttribute)})
    _strings([locked.file, locked.attribute, locked.output, locked.system, *locked.arguments, *locked.arguments.values()])
    for path in (locked.path, locked.derivation):
        StorePath.parse(path, path.rpartition("/")[0])
    if not _OUTPUT.fullmatch(locked.output):
        raise ValueError(f"{locked.output!r} is no output of a derivation")
    return locked


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError("a list of strings was expected")
    return value
