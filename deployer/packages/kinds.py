"""What each kind of package reads from its entry of packages.yaml: keys into a recipe, with every fault noted where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from deployer.errors import near
from deployer.formats import StorePath
from deployer.formats.storepath import StorePathRefused
from deployer.packages.debian.locales import LOCALE, is_of_common_character_set
from deployer.packages.errors import PasswordShown
from deployer.packages.recipes import (
    CHARACTER_SETS,
    DEBIAN_ARCHITECTURES,
    MAIN,
    NIXPKGS,
    OMITTABLE,
    OMITTABLE_OF_TREES,
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

if TYPE_CHECKING:
    from deployer.packages.entries import Entry

PROGRAM_NAME: Final = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9+._@\[-]{0,99}")
SRI: Final = re.compile(r"sha(256-[A-Za-z0-9+/]{43}=|512-[A-Za-z0-9+/]{86}==)")
_HOW_TO_HASH: Final = "Write hash: sha256-… (of a file: openssl dgst -sha256 -binary FILE | base64)."
_ATTRIBUTE: Final = re.compile(r"""[A-Za-z0-9_][A-Za-z0-9_'-]*(\.[A-Za-z0-9_][A-Za-z0-9_'-]*)*""")
_NIX_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")
_SEARCHED: Final = re.compile(r"<[A-Za-z0-9_+.-]+(/[A-Za-z0-9_+.-]+)*>")
_SUITE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._~-]{0,63}")
_RESERVED: Final = frozenset(
    {"out", "name", "builder", "system", "src", "toolchain", "inputs", "PATH", "version", "patches", "flags"}
)


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
    suites = entry.either("suite", entry.strings, "suites")
    for suite in suites:
        if not _SUITE.fullmatch(suite):
            entry.fault(
                "suite", f"{suite!r} is no name of a suite", "Write it as apt's sources have it: bookworm, bookworm-updates."
            )
    components = entry.either("components", lambda key: entry.strings(key, (MAIN,)))
    for component in components:
        if not _SUITE.fullmatch(component):
            entry.fault("components", f"{component!r} is no name of a component", "Write it such as main, contrib, universe.")
    below = entry.below if isinstance(entry.below, DebianRecipe) else None
    programs = entry.either("programs", lambda key: entry.strings(key, ()))
    for program in programs:
        if not PROGRAM_NAME.fullmatch(program):
            entry.fault("programs", f"{program!r} is no name of a program", "Write it without its directory: nginx.")
    omit = _omitted(entry, OMITTABLE_OF_TREES, ())
    locales = entry.either("locales", lambda key: entry.strings(key, ()))
    for locale in locales:
        if not LOCALE.fullmatch(locale):
            entry.fault("locales", f"{locale!r} is no locale with a character set", "Write it such as de_DE.UTF-8.")
        elif CHARACTER_SETS in omit and not is_of_common_character_set(locale):
            hint = f"Take the locale in UTF-8, or do not omit {CHARACTER_SETS!r}."
            entry.fault("locales", f"{locale!r} is of a character set that is left out", hint)
    return DebianRecipe(
        name=entry.name,
        place=entry.place(),
        suites=suites,
        components=components,
        packages=entry.either("packages", entry.strings),
        architecture=architecture,
        links={**(below.links if below else {}), **entry.mapping("links")},
        programs=programs,
        locales=locales,
        omit=omit,
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
            hint = "Remove it there, and write the name and the password into ~/.netrc."
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


def _omitted(entry: Entry, known: tuple[str, ...], otherwise: tuple[str, ...]) -> tuple[str, ...]:
    omit = entry.either("omit", lambda key: entry.strings(key, otherwise))
    for word in omit:
        if word not in known:
            nearest = near(word, known)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"Name any of {', '.join(known)}."
            entry.fault("omit", f"{word!r} is nothing that can be left out", hint)
    return omit


def _npm(entry: Entry) -> NpmRecipe:
    omit = _omitted(entry, OMITTABLE, ("dev",))
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
    of_expressions = [key for key in ("file", "arguments") if entry.has(key)]
    path, attribute = entry.text("path", ""), entry.text("attribute", "")
    below = entry.below if isinstance(entry.below, NixRecipe) else None
    if below is not None and not path and not attribute:
        path, attribute = below.path, below.attribute
    if bool(path) == bool(attribute):
        has = "both" if path else "neither"
        hint = "A 'path' comes from a binary cache; an 'attribute' of a Nix file is evaluated by 'deployer lock'."
        entry.fault("", f"it must have either 'path' or 'attribute', and has {has}", hint)
    try:
        if path:
            StorePath.parse(path, path.rpartition("/")[0] or "/")
    except StorePathRefused:
        hint = "Write it whole: /nix/store/, 32 characters, a dash, and the name."
        entry.fault("path", f"{path!r} is no store path", hint)
    if attribute and not _ATTRIBUTE.fullmatch(attribute):
        entry.fault(
            "attribute", f"{attribute!r} is no path of attributes", "Write names with dots between them: python3.pkgs.numpy."
        )
    file = entry.either("file", lambda key: _nix_file(entry, entry.text(key, NIXPKGS)))
    arguments = entry.mapping("arguments")
    for name in arguments:
        if not _NIX_NAME.fullmatch(name):
            entry.fault("arguments", f"{name!r} is no name of an argument", "Write it such as system.")
    for key in of_expressions if path else ():
        entry.fault(key, f"{key!r} means nothing beside a 'path'", "Remove it, or name an 'attribute' of the file.")
    return NixRecipe(
        name=entry.name,
        place=entry.place("attribute" if attribute else "path") or entry.place(),
        version=_version(entry),
        path=path,
        attribute=attribute,
        file=file,
        arguments={**(below.arguments if below else {}), **arguments},
    )


def _nix_file(entry: Entry, text: str) -> str:
    if text.startswith("<"):
        if not _SEARCHED.fullmatch(text):
            entry.fault("file", f"{text!r} is nothing that Nix looks up in its search path", "Write it such as <nixpkgs>.")
        return text
    if not (entry.directory / text).exists():
        entry.fault(
            "file",
            f"there is no {entry.directory / text}",
            "A path is relative to packages.yaml: correct it, or create the file.",
        )
    return str(entry.directory / text)


def _version(entry: Entry) -> str:
    version = entry.either("version", lambda key: entry.text(key, ""))
    if version and not _VERSION.fullmatch(version):
        entry.fault("version", f"{version!r} is no version", "Use letters, digits and any of + . _ - ~.")
    return version


KINDS: Final[Mapping[str, tuple[type[Recipe], Callable[[Entry], Recipe], tuple[str, ...]]]] = {
    "fetch": (FetchRecipe, _fetch, ("kind", "url", "file", "hash", "version", "executable")),
    "archive": (ArchiveRecipe, _archive, ("kind", "package", "url", "file", "hash", "version", "strip_components", "executable")),
    "build": (
        BuildRecipe,
        _build,
        ("kind", "script", "source", "inputs", "toolchain", "environment", "version", "patches", "flags"),
    ),
    "debian": (
        DebianRecipe,
        _debian,
        ("kind", "suite", "components", "packages", "architecture", "links", "programs", "locales", "omit"),
    ),
    "python": (PythonRecipe, _python, ("kind", "interpreter", "lock", "index", "extras", "groups", "source", "version")),
    "npm": (NpmRecipe, _npm, ("kind", "interpreter", "lock", "omit", "without_scripts", "registry", "source", "version")),
    "nix": (NixRecipe, _nix, ("kind", "path", "attribute", "file", "arguments", "version")),
}
"""What each kind is read into, how, and all its keys."""
