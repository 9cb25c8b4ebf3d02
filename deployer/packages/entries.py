"""The entries of packages.yaml: plain values read key by key into recipes, with every fault noted where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from deployer.config.definitions import describe
from deployer.errors import DeployerError, Place, near
from deployer.formats import StorePath
from deployer.formats.storepath import StorePathRefused
from deployer.packages.errors import PackageInvalid, PasswordShown
from deployer.packages.locales import LOCALE
from deployer.packages.recipes import (
    DEBIAN_ARCHITECTURES,
    OMITTABLE,
    VERSION_IN_URL,
    ArchiveRecipe,
    BuildRecipe,
    DebianRecipe,
    Dependency,
    FetchRecipe,
    NixRecipe,
    NpmRecipe,
    PythonRecipe,
    Recipe,
    is_requirements_file,
    safe_name,
)

_T = TypeVar("_T")
PACKAGE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9+._-]{0,99}")
PROGRAM_NAME: Final = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9+._@\[-]{0,99}")
SRI: Final = re.compile(r"sha(256-[A-Za-z0-9+/]{43}=|512-[A-Za-z0-9+/]{86}==)")


class Entry:
    """One package of packages.yaml as plain values, read key by key. Every fault is noted; none stops the reading."""

    def __init__(self, name: str, raw: object, place_of: Callable[[str], Place | None], directory: Path) -> None:
        """`place_of` tells where a key stands; of the empty string, where the whole entry does."""
        self.name, self.directory, self.errors = name, directory, list[DeployerError]()
        self.below: Recipe | None = None
        self._place_of = place_of
        self._left: dict[str, object] = dict(raw) if isinstance(raw, Mapping) else {}
        if not isinstance(raw, Mapping):
            kinds = ", ".join(_KINDS)
            self.fault("", f"it must be a mapping with the key 'kind', and is {describe(raw)}", f"The kinds are {kinds}.")
        elif not PACKAGE_NAME.fullmatch(name):
            self.fault("", "its name must be letters, digits and any of + . _ -", "Write it such as hello-1.2.")

    @property
    def is_change(self) -> bool:
        """Whether it changes a package that is there already, rather than being one."""
        return "kind" not in self._left

    def parse(self) -> Recipe | None:
        """The recipe; None where there are `errors`."""
        if self.errors:
            return None
        if "kind" not in self._left:
            self.fault("", "it lacks the key 'kind'", f"The kinds are {', '.join(_KINDS)}.")
            return None
        kind = str(self._take("kind", None, object, "a word"))
        if kind not in _KINDS:
            nearest = near(kind, _KINDS)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"The kinds are {', '.join(_KINDS)}."
            self.fault("kind", f"there is no kind {kind!r}", hint)
            return None
        return self._read(kind)

    def change(self, below: Recipe) -> Recipe | None:
        """The recipe `below` with what the entry says of it; None where there are `errors`. An entry is read once."""
        if self.errors:
            return None
        self.below = below
        return self._read(next(kind for kind, (made, _, _) in _KINDS.items() if isinstance(below, made)))

    def _read(self, kind: str) -> Recipe | None:
        _, read, known = _KINDS[kind]
        try:
            recipe = read(self)
        except ValueError:  # already noted; what was not read yet is no fault
            recipe = None
            self._left = {key: value for key, value in self._left.items() if key not in known}
        for key in self._left:
            nearest = near(key, known)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"The keys of this kind are {', '.join(known)}."
            if key in known:
                hint = "The archive is another package: say it there, or give a 'url' or a 'file' instead."
                self.fault(key, f"{key!r} means nothing here", hint)
            else:
                self.fault(key, f"kind {kind!r} has no key {key!r}", hint)
        return None if self.errors else recipe

    def has(self, *keys: str) -> bool:
        """Whether it says anything of one of these keys."""
        return any(key in self._left for key in keys)

    def either(self, key: str, read: Callable[[str], _T], field: str = "") -> _T:
        """What `read` makes of a key; where the entry does not have it, what the package below has in `field`."""
        if self.below is not None and not self.has(key):
            kept: _T = getattr(self.below, field or key)
            return kept
        return read(key)

    def path(self, key: str) -> Path:
        """A file or directory, relative to the file of the entry."""
        return self.directory / self.text(key)

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
            self.fault(key, f"{key} must be a number from 0 on, and is {describe(value)}", "Write 0, 1, 2 …")
        return int(value)

    def boolean(self, key: str, default: bool) -> bool:
        """`true` or `false`."""
        return bool(self._take(key, default, bool, "true or false"))

    def strings(self, key: str, default: Iterable[str] | None = None) -> tuple[str, ...]:
        """A list of strings; one string stands for a list of one."""
        value = self._take(key, None if default is None else list(default), (list, str), "a list of strings")
        items = [value] if isinstance(value, str) else list(value)
        wrong = [item for item in items if not isinstance(item, str)]
        if wrong:
            reason = f"{key} must be a list of strings, and has {describe(wrong[0])}"
            self.fault(key, reason, "Put numbers and true/false in quotes.")
        return tuple(map(str, items))

    def mapping(self, key: str) -> dict[str, str]:
        """A mapping of strings."""
        value = self._take(key, {}, dict, "a mapping of strings")
        if not all(isinstance(item, str) for item in value.values()):
            self.fault(key, f"{key} must be a mapping of strings", "Put numbers and true/false in quotes.")
        return {str(name): str(item) for name, item in value.items()}

    def _take(self, key: str, default: Any, kinds: type | tuple[type, ...], what: str) -> Any:
        if key not in self._left:
            if default is None:
                self.fault("", f"it lacks the key {key!r}", f"Add `{key}`: {what}.")
                raise ValueError(key)
            return default
        value = self._left.pop(key)
        if not isinstance(value, kinds):
            self.fault(key, f"{key} must be {what}, and is {describe(value)}", f"Write {what}.")
            raise ValueError(key)
        return value


def _fetch(entry: Entry) -> FetchRecipe:
    below = entry.below if isinstance(entry.below, FetchRecipe) else None
    moved = entry.has("url", "file", "version")
    url, file = entry.text("url", ""), entry.text("file", "")
    digest, version = entry.text("hash", ""), _version(entry)
    local = entry.directory / file if file else None
    if below is not None:
        if moved and (url or not file) and not digest:
            entry.fault("version", "a new 'url' or 'version' must be pinned by a new 'hash'", _HOW_TO_HASH)
        if not url and not file:
            url, local = below.url, below.file
        digest = digest or ("" if moved else below.hash)
    elif bool(url) == bool(file):
        has = "both" if url else "neither"
        entry.fault("", f"it must have either 'url' or 'file', and has {has}", "`file` is a path beside packages.yaml.")
    elif url and not digest:
        entry.fault("url", "a 'url' must be pinned by a 'hash'", _HOW_TO_HASH)
    if digest and not SRI.fullmatch(digest):
        entry.fault("hash", f"{digest!r} is no hash", "Write sha256-… or sha512-…, in base 64.")
    if VERSION_IN_URL in url and not version:
        entry.fault("url", f"it names {VERSION_IN_URL}, and the package has no 'version'", "Add `version`.")
    return FetchRecipe(
        name=entry.name,
        place=entry.place("hash") or entry.place(),
        version=version,
        url=url,
        file=local,
        hash=digest,
        executable=entry.either("executable", lambda key: entry.boolean(key, False)),
    )


def _archive(entry: Entry) -> ArchiveRecipe:
    strip = entry.either("strip_components", lambda key: entry.number(key, 0))
    below = entry.below if isinstance(entry.below, ArchiveRecipe) else None
    package = entry.text("package", "")
    source: Dependency = package or (below.source if below else "")
    if not package and (below is None or entry.has("url", "file", "hash", "version")):
        entry.below = source if isinstance(source, FetchRecipe) else None
        fetch = _fetch(entry)
        entry.below = below
        name = (fetch.file.name if fetch.file else fetch.url.rpartition("/")[2]) or "archive"
        if fetch.executable:
            entry.fault("executable", "an archive cannot be executable", "Remove it: the files in it keep their modes.")
        source = replace(fetch, name=entry.name if fetch.version else safe_name(name))
        version = fetch.version
    else:
        version = _version(entry)
    return ArchiveRecipe(name=entry.name, place=entry.place(), version=version, source=source, strip_components=strip)


def _build(entry: Entry) -> BuildRecipe:
    below = entry.below if isinstance(entry.below, BuildRecipe) else None

    def source(key: str) -> Dependency | Path | None:
        text = entry.text(key, "")
        return entry.directory / text if text.startswith((".", "/")) or "/" in text else text or None

    environment = entry.mapping("environment")
    for name in environment:
        if name in _RESERVED or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            hint = "Use another name: builds set this one." if name in _RESERVED else "Use letters, digits and _."
            entry.fault("environment", f"{name!r} cannot be set in the environment of a build", hint)
    flags = entry.strings("flags", ())
    if any(re.search(r"\s", flag) for flag in flags):
        entry.fault("flags", "a flag cannot have white space in it", "Put it into 'environment', or into the script.")
    patches = tuple(entry.directory / name for name in entry.strings("patches", ()))
    return BuildRecipe(
        name=entry.name,
        place=entry.place(),
        version=_version(entry),
        script=entry.either("script", entry.text),
        source=entry.either("source", source),
        inputs=entry.either("inputs", lambda key: entry.strings(key, ())),
        toolchain=entry.either("toolchain", entry.text),
        environment={**(below.environment if below else {}), **environment},
        patches=(*(below.patches if below else ()), *patches),
        flags=(*(below.flags if below else ()), *flags),
    )


def _debian(entry: Entry) -> DebianRecipe:
    architecture = entry.either("architecture", lambda key: entry.text(key, "amd64"))
    if architecture not in DEBIAN_ARCHITECTURES:
        entry.fault("architecture", f"there is no architecture {architecture!r}", f"Use {' or '.join(DEBIAN_ARCHITECTURES)}.")
    below = entry.below if isinstance(entry.below, DebianRecipe) else None
    programs = entry.either("programs", lambda key: entry.strings(key, ()))
    for program in programs:
        if not PROGRAM_NAME.fullmatch(program):
            entry.fault("programs", f"{program!r} is no name of a program", "Write it without its directory: nginx.")
    locales = entry.either("locales", lambda key: entry.strings(key, ()))
    for locale in locales:
        if not LOCALE.fullmatch(locale):
            entry.fault("locales", f"{locale!r} is no locale with a character set", "Write it such as de_DE.UTF-8.")
    return DebianRecipe(
        name=entry.name,
        place=entry.place(),
        suites=entry.either("suite", entry.strings, "suites"),
        packages=entry.either("packages", entry.strings),
        architecture=architecture,
        links={**(below.links if below else {}), **entry.mapping("links")},
        programs=programs,
        locales=locales,
    )


def _python(entry: Entry) -> PythonRecipe:
    lock = entry.either("lock", entry.path)
    index = entry.either("index", lambda key: entry.strings(key, ()))
    extras = entry.either("extras", lambda key: entry.strings(key, ()))
    groups = entry.either("groups", lambda key: entry.strings(key, ()))
    if is_requirements_file(lock):
        for key, words in (("extras", extras), ("groups", groups)):
            if words:
                hint = "Name them where it is written: 'uv export --extra NAME --group NAME', 'pip-compile --extra NAME'."
                entry.fault(key, f"{lock.name} has no {key} to choose from", hint)
    elif index:
        entry.fault("index", f"{lock.name} says itself where its wheels are", "Remove 'index': it is for requirements files.")
    for url in index:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "file"):
            entry.fault("index", f"{url!r} is no URL of an index", "Write an http, https or file URL, such as https://…/simple.")
        elif "@" in parts.netloc:
            hint = "Name an index without a password, such as a mirror in your own network."
            entry.errors.append(
                PasswordShown(entry.name, "the URL of its index has a password in it", entry.place("index"), hint)
            )
    return PythonRecipe(
        name=entry.name,
        place=entry.place("lock") or entry.place(),
        version=_version(entry),
        interpreter=entry.either("interpreter", entry.text),
        lock=lock,
        index=index,
        extras=extras,
        groups=groups,
        source=entry.either("source", lambda key: entry.path(key) if entry.has(key) else None),
    )


def _npm(entry: Entry) -> NpmRecipe:
    omit = entry.either("omit", lambda key: entry.strings(key, ("dev",)))
    for word in omit:
        if word not in OMITTABLE:
            nearest = near(word, OMITTABLE)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"Name any of {', '.join(OMITTABLE)}."
            entry.fault("omit", f"{word!r} is nothing that can be left out", hint)
    return NpmRecipe(
        name=entry.name,
        place=entry.place("lock") or entry.place(),
        version=_version(entry),
        interpreter=entry.either("interpreter", entry.text),
        lock=entry.either("lock", entry.path),
        omit=omit,
        without_scripts=entry.either("without_scripts", lambda key: entry.strings(key, ())),
        registry=entry.either("registry", lambda key: entry.text(key, "")),
        source=entry.either("source", lambda key: entry.path(key) if entry.has(key) else None),
    )


def _nix(entry: Entry) -> NixRecipe:
    path = entry.either("path", entry.text)
    try:
        StorePath.parse(path, path.rpartition("/")[0] or "/")
    except StorePathRefused:
        hint = "Write it whole: /nix/store/, 32 characters, a dash, and the name."
        entry.fault("path", f"{path!r} is no store path", hint)
    return NixRecipe(name=entry.name, place=entry.place("path") or entry.place(), version=_version(entry), path=path)


def _version(entry: Entry) -> str:
    version = entry.either("version", lambda key: entry.text(key, ""))
    if version and not _VERSION.fullmatch(version):
        entry.fault("version", f"{version!r} is no version", "Use letters, digits and any of + . _ - ~.")
    return version


_HOW_TO_HASH: Final = "Write hash: sha256-… (of a file: openssl dgst -sha256 -binary FILE | base64)."
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._~-]{0,63}")
_RESERVED: Final = frozenset(
    {"out", "name", "builder", "system", "src", "toolchain", "inputs", "PATH", "version", "patches", "flags"}
)
_KINDS: Final[Mapping[str, tuple[type[Recipe], Callable[[Entry], Recipe], tuple[str, ...]]]] = {
    "fetch": (FetchRecipe, _fetch, ("kind", "url", "file", "hash", "version", "executable")),
    "archive": (ArchiveRecipe, _archive, ("kind", "package", "url", "file", "hash", "version", "strip_components", "executable")),
    "build": (
        BuildRecipe,
        _build,
        ("kind", "script", "source", "inputs", "toolchain", "environment", "version", "patches", "flags"),
    ),
    "debian": (DebianRecipe, _debian, ("kind", "suite", "packages", "architecture", "links", "programs", "locales")),
    "python": (PythonRecipe, _python, ("kind", "interpreter", "lock", "index", "extras", "groups", "source", "version")),
    "npm": (NpmRecipe, _npm, ("kind", "interpreter", "lock", "omit", "without_scripts", "registry", "source", "version")),
    "nix": (NixRecipe, _nix, ("kind", "path", "version")),
}
"""What each kind is read into, how, and all its keys."""
