"""The entries of packages.yaml: plain values read key by key into recipes, with every fault noted where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from deployer.errors import DeployerError, Place, near
from deployer.packages.errors import PackageInvalid
from deployer.packages.recipes import (
    DEBIAN_ARCHITECTURES,
    ArchiveRecipe,
    BuildRecipe,
    DebianRecipe,
    Dependency,
    FetchRecipe,
    PythonRecipe,
    Recipe,
    safe_name,
)

PACKAGE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9+._-]{0,99}")
PROGRAM_NAME: Final = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9+._@\[-]{0,99}")
SRI: Final = re.compile(r"sha(256-[A-Za-z0-9+/]{43}=|512-[A-Za-z0-9+/]{86}==)")


class Entry:
    """One package of packages.yaml as plain values, read key by key. Every fault is noted; none stops the reading."""

    def __init__(self, name: str, raw: object, place_of: Callable[[str], Place | None], directory: Path) -> None:
        """`place_of` tells where a key stands; of the empty string, where the whole entry does."""
        self.name, self.directory, self.errors = name, directory, list[DeployerError]()
        self._place_of = place_of
        self._left: dict[str, object] = dict(raw) if isinstance(raw, Mapping) else {}
        self._known: list[str] = []
        if not isinstance(raw, Mapping):
            self.fault("", "it is not a mapping with the key 'kind'")
        elif not PACKAGE_NAME.fullmatch(name):
            self.fault("", "its name must be letters, digits and any of + . _ -")

    def parse(self) -> Recipe | None:
        """The recipe; None where there are `errors`."""
        if self.errors:
            return None
        if "kind" not in self._left:
            self.fault("", "it lacks the key 'kind'", f"The kinds are {', '.join(_KINDS)}.")
            return None
        kind = str(self._take("kind", None, object, "a word"))
        parse = _KINDS.get(kind)
        if parse is None:
            nearest = near(kind, _KINDS)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"The kinds are {', '.join(_KINDS)}."
            self.fault("kind", f"there is no kind {kind!r}", hint)
            return None
        try:
            recipe = parse(self)
        except ValueError:  # already noted
            recipe = None
        for key in self._left:
            nearest = near(key, self._known)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"The keys of this kind are {', '.join(self._known)}."
            self.fault(key, f"kind {kind!r} has no key {key!r}", hint)
        return None if self.errors else recipe

    def place(self, key: str = "") -> Place | None:
        """Where a key stands."""
        return self._place_of(key)

    def fault(self, key: str, reason: str, hint: str = "") -> None:
        """Note an error."""
        self.errors.append(PackageInvalid(self.name, reason, self._place_of(key), hint))

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        return str(self._take(key, default, str, "a string"))

    def number(self, key: str, default: int) -> int:
        """A number from 0 on."""
        value = self._take(key, default, int, "a number")
        if isinstance(value, bool) or value < 0:
            self.fault(key, f"{key} must be a number from 0 on")
        return int(value)

    def boolean(self, key: str, default: bool) -> bool:
        """`true` or `false`."""
        return bool(self._take(key, default, bool, "true or false"))

    def strings(self, key: str, default: Iterable[str] | None = None) -> tuple[str, ...]:
        """A list of strings; one string stands for a list of one."""
        value = self._take(key, None if default is None else list(default), (list, str), "a list of strings")
        items = [value] if isinstance(value, str) else list(value)
        if not all(isinstance(item, str) for item in items):
            self.fault(key, f"{key} must be a list of strings")
        return tuple(map(str, items))

    def mapping(self, key: str) -> dict[str, str]:
        """A mapping of strings."""
        value = self._take(key, {}, dict, "a mapping of strings")
        if not all(isinstance(item, str) for item in value.values()):
            self.fault(key, f"{key} must be a mapping of strings", "Put numbers and true/false in quotes.")
        return {str(name): str(item) for name, item in value.items()}

    def _take(self, key: str, default: Any, kinds: type | tuple[type, ...], what: str) -> Any:
        self._known.append(key)
        if key not in self._left:
            if default is None:
                self.fault("", f"it lacks the key {key!r}")
                raise ValueError(key)
            return default
        value = self._left.pop(key)
        if not isinstance(value, kinds):
            self.fault(key, f"{key} must be {what}")
            raise ValueError(key)
        return value


def _fetch(entry: Entry) -> FetchRecipe:
    url, file = entry.text("url", ""), entry.text("file", "")
    digest, executable = entry.text("hash", ""), entry.boolean("executable", False)
    if bool(url) == bool(file):
        entry.fault("", "it must have either 'url' or 'file'")
    if url and not digest:
        entry.fault(
            "url",
            "a 'url' must be pinned by a 'hash'",
            "Write hash: sha256-… (of a file: openssl dgst -sha256 -binary FILE | base64).",
        )
    if digest and not SRI.fullmatch(digest):
        entry.fault("hash", f"{digest!r} is no hash", "Write sha256-… or sha512-…, in base 64.")
    local = entry.directory / file if file else None
    return FetchRecipe(
        name=entry.name, place=entry.place("hash") or entry.place(), url=url, file=local, hash=digest, executable=executable
    )


def _archive(entry: Entry) -> ArchiveRecipe:
    strip = entry.number("strip_components", 0)
    package = entry.text("package", "")
    source: Dependency = package
    if not package:
        fetch = _fetch(entry)
        name = (fetch.file.name if fetch.file else fetch.url.rpartition("/")[2]) or "archive"
        source = FetchRecipe(name=safe_name(name), place=fetch.place, url=fetch.url, file=fetch.file, hash=fetch.hash)
        if fetch.executable:
            entry.fault("executable", "an archive cannot be executable")
    return ArchiveRecipe(name=entry.name, place=entry.place(), source=source, strip_components=strip)


def _build(entry: Entry) -> BuildRecipe:
    text = entry.text("source", "")
    source: Dependency | Path | None = text or None
    if text.startswith((".", "/")) or "/" in text:
        source = entry.directory / text
    environment = entry.mapping("environment")
    for name in environment:
        if name in _RESERVED or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            entry.fault("environment", f"{name!r} cannot be set in the environment of a build")
    return BuildRecipe(
        name=entry.name,
        place=entry.place(),
        script=entry.text("script"),
        source=source,
        inputs=entry.strings("inputs", ()),
        toolchain=entry.text("toolchain"),
        environment=environment,
    )


def _debian(entry: Entry) -> DebianRecipe:
    architecture = entry.text("architecture", "amd64")
    if architecture not in DEBIAN_ARCHITECTURES:
        entry.fault("architecture", f"there is no architecture {architecture!r}", f"Use {' or '.join(DEBIAN_ARCHITECTURES)}.")
    programs = entry.strings("programs", ())
    for program in programs:
        if not PROGRAM_NAME.fullmatch(program):
            entry.fault("programs", f"{program!r} is no name of a program", "Write it without its directory: nginx.")
    return DebianRecipe(
        name=entry.name,
        place=entry.place(),
        suites=entry.strings("suite"),
        packages=entry.strings("packages"),
        architecture=architecture,
        links=entry.mapping("links"),
        programs=programs,
    )


def _python(entry: Entry) -> PythonRecipe:
    source = entry.text("source", "")
    return PythonRecipe(
        name=entry.name,
        place=entry.place("lock") or entry.place(),
        interpreter=entry.text("interpreter"),
        lock=entry.directory / entry.text("lock"),
        extras=entry.strings("extras", ()),
        groups=entry.strings("groups", ()),
        source=entry.directory / source if source else None,
    )


_RESERVED: Final = frozenset({"out", "name", "builder", "system", "src", "toolchain", "inputs", "PATH"})
_KINDS: Final[Mapping[str, Callable[[Entry], Recipe]]] = {
    "fetch": _fetch,
    "archive": _archive,
    "build": _build,
    "debian": _debian,
    "python": _python,
}
