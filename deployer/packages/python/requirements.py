"""`requirements.txt` with hashes, as `pip-compile --generate-hashes` and `uv export` write it: versions, and their files' hashes.

Only what is pinned is taken. The file does not say where the wheels are: `deployer lock` looks that up in an index.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from packaging.markers import Marker, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from deployer.errors import DeployerError, Place, raise_all
from deployer.packages.errors import PackageInvalid, PasswordShown
from deployer.packages.python.platform import PythonPlatform
from deployer.packages.python.wheels import filename_of

_COMMENT: Final = re.compile(r"(?:^|\s+)#.*$")
_OPTIONS: Final = re.compile(r"(?:^|\s+)(?=-)")
_VARIABLE: Final = re.compile(r"\$\{[A-Z0-9_]+\}")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SHORT: Final = {"-r": "--requirement", "-c": "--constraint", "-i": "--index-url", "-f": "--find-links", "-e": "--editable"}
_FLAGS: Final = frozenset({"--pre", "--prefer-binary", "--require-hashes"})
"""They say how versions are chosen, which is done, or what we ask for anyway."""
_IGNORED: Final = frozenset({"--only-binary"})
_INDEX: Final = "--index-url"
_EXTRA_INDEX: Final = "--extra-index-url"
_COMPILE: Final = "Write it with 'pip-compile --generate-hashes' or 'uv export --no-emit-project'."
_REFUSED: Final = {
    "--constraint": ("constraints pin nothing", "Compile with the constraints, and name the file that this writes."),
    "--editable": (
        "a project that is edited in its place has no hash",
        "Export with --no-emit-project, and name the modules of the project by 'source'.",
    ),
    "--find-links": (
        "links to files are not followed",
        "Remove it ('pip-compile --no-emit-find-links'). A wheel that is in no index is named by its path.",
    ),
    "--no-index": ("what has no URL is looked up in an index", "Remove it, or name wheels by their paths."),
    "--no-binary": ("sources are not built here", "Remove it, and build a wheel of what has none."),
    "--trusted-host": (
        "certificates are always checked",
        "Remove it ('--no-emit-trusted-host'), and make the certificate known (SSL_CERT_FILE).",
    ),
}


@dataclass(frozen=True, slots=True)
class PinnedRequirement:
    """One line: a project in one version, and the hashes that its file may have."""

    name: str
    """Normalised."""
    specifier: SpecifierSet
    """The one version; empty where `url` or `path` says which file it is."""
    sha256: frozenset[str]
    """In hexadecimal, lower case."""
    place: Place
    marker: Marker | None = None
    url: str = ""
    """Of the wheel, where the line says it."""
    path: Path | None = None
    """Where the wheel lies, where the line says it."""

    @property
    def is_in_index(self) -> bool:
        """Whether the line does not say where its file is."""
        return not self.url and self.path is None

    def __str__(self) -> str:
        """As the line has it, without the hashes."""
        return f"{self.name}{self.specifier}"


@dataclass(frozen=True, slots=True)
class Requirements:
    """All lines of a file, and of those that it includes."""

    pinned: tuple[PinnedRequirement, ...]
    indexes: tuple[str, ...]
    """URLs of the indexes that it names in place of those that are asked otherwise."""
    extra_indexes: tuple[str, ...] = ()
    """Those that it names besides."""

    def wanted(self, asker: str, platform: PythonPlatform) -> tuple[PinnedRequirement, ...]:
        """Those whose markers hold on a platform, by name. Raises `PackageInvalid` where two of a project do."""
        found: dict[str, PinnedRequirement] = {}
        for one in self.pinned:
            try:
                holds = one.marker is None or platform.holds(str(one.marker))
            except UndefinedEnvironmentName as error:
                raise PackageInvalid(asker, f"the marker of {one} cannot be evaluated: {error}", one.place, _COMPILE) from None
            if not holds:
                continue
            other = found.setdefault(one.name, one)
            if (one.specifier, one.sha256, one.url, one.path) != (other.specifier, other.sha256, other.url, other.path):
                reason = f"{one} and {other} (line {other.place.line}) are asked for at once on {platform}"
                raise PackageInvalid(asker, reason, one.place, "Keep one, or give each a marker that excludes the other.")
        return tuple(found[name] for name in sorted(found))


def read_requirements(asker: str, path: Path, place: Place | None) -> Requirements:
    """What the file of the package `asker` pins; `place` is where it is named. Raises `PackageInvalid`, all of them together."""
    reader = _Reader(asker)
    reader.read(path, place)
    raise_all(reader.errors)
    if not reader.pinned:
        raise PackageInvalid(asker, f"{path.name} names no package", Place(str(path)), _COMPILE)
    indexes, extra = (tuple(dict.fromkeys(reader.indexes[option])) for option in (_INDEX, _EXTRA_INDEX))
    return Requirements(tuple(reader.pinned), indexes, extra)


class _Refused(Exception):
    """What is wrong with a line, and what to do."""

    def __init__(self, reason: str, hint: str = _COMPILE, *, is_secret: bool = False) -> None:
        super().__init__(reason)
        self.hint, self.is_secret = hint, is_secret


@dataclass(slots=True)
class _Reader:
    asker: str
    pinned: list[PinnedRequirement] = field(default_factory=list)
    indexes: dict[str, list[str]] = field(default_factory=lambda: {_INDEX: [], _EXTRA_INDEX: []})
    """By the option that names them."""
    errors: list[DeployerError] = field(default_factory=list)
    _reading: list[Path] = field(default_factory=list)

    def read(self, path: Path, place: Place | None) -> None:
        """Take in a file and those that it includes."""
        if path in self._reading:
            circle = " → ".join(file.name for file in (*self._reading, path))
            self.errors.append(PackageInvalid(self.asker, f"files include each other in a circle: {circle}", place, "Cut it."))
            return
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            hint = "Correct its path: that of a file that is included is relative to the one that includes it."
            self.errors.append(PackageInvalid(self.asker, f"there is no {path}", place, hint))
            return
        except (OSError, UnicodeDecodeError) as error:
            self.errors.append(PackageInvalid(self.asker, f"{path} cannot be read: {error}", place, _COMPILE))
            return
        self._reading.append(path)
        for number, line in _logical_lines(text):
            try:
                self._line(line, Place(str(path), number))
            except _Refused as refused:
                kind = PasswordShown if refused.is_secret else PackageInvalid
                self.errors.append(kind(self.asker, str(refused), Place(str(path), number), refused.hint))
        self._reading.pop()

    def _line(self, line: str, place: Place) -> None:
        if variable := _VARIABLE.search(line):
            raise _Refused(f"it names the variable {variable[0]}, and the environment is not read", "Write its value.")
        text, *rest = _OPTIONS.split(line, maxsplit=1)
        options = list(_options(rest[0] if rest else ""))
        if text:
            self.pinned.append(_pinned(text, options, place))
            return
        for name, value in options:
            if name == "--requirement":
                if _URL.match(value):
                    raise _Refused(f"{value} is a URL", "Include files by their paths only.")
                self.read(Path(place.file).parent / value, place)
            elif name in self.indexes:
                self.indexes[name].append(_index(value))
            elif name not in _FLAGS | _IGNORED:
                raise _Refused(*_REFUSED.get(name, (f"the option {name} is not known here",)))


def _pinned(text: str, options: list[tuple[str, str]], place: Place) -> PinnedRequirement:
    hashes = set[str]()
    for name, value in options:
        if name != "--hash":
            raise _Refused(f"the option {name} of a requirement is for building sources, and these are not built", "Remove it.")
        algorithm, _, digest = value.partition(":")
        if algorithm == "sha256" and not _SHA256.fullmatch(digest):
            raise _Refused(f"{value!r} is no sha256 hash")
        if algorithm == "sha256":
            hashes.add(digest.lower())
    try:
        requirement = Requirement(_with_name(text, place))
    except InvalidRequirement as error:
        raise _Refused(f"{text!r} is no requirement: {str(error).splitlines()[0]}") from None
    name = canonicalize_name(requirement.name)
    if not hashes:
        raise _Refused(f"{name} has no sha256 hash")
    if requirement.url is not None and "@" in urlsplit(requirement.url).netloc:
        raise _Refused(
            f"the URL of {name} has a password in it",
            "Name a URL without one, and write the password into ~/.netrc.",
            is_secret=True,
        )
    if requirement.url is None:
        only = next(iter(requirement.specifier), None)
        if only is None or len(requirement.specifier) > 1 or only.operator not in ("==", "===") or only.version.endswith("*"):
            raise _Refused(f"{name}{requirement.specifier} is not pinned to one version by '=='")
        return PinnedRequirement(name, requirement.specifier, frozenset(hashes), place, requirement.marker)
    if len(hashes) > 1:
        raise _Refused(f"{name} is one file, and has {len(hashes)} hashes", "Keep the hash of that file.")
    _check_file(name, requirement.url)
    local = None
    if requirement.url.startswith("file:"):
        local = Path(unquote(urlsplit(requirement.url).path))
    url = "" if local else requirement.url
    return PinnedRequirement(name, SpecifierSet(), frozenset(hashes), place, requirement.marker, url, local)


def _with_name(text: str, place: Place) -> str:
    """A requirement that is a URL or a path only, as `name @ URL`."""
    target, _, marker = text.partition(";")
    target = target.strip()
    is_url = bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", target))
    is_path = target.endswith(".whl") or target.startswith((".", "/"))
    if " @ " in target or not (is_url or is_path):
        return text
    if not is_url:
        target = (Path(place.file).parent / target).absolute().as_uri()
    try:
        name = parse_wheel_filename(filename_of(target, None))[0]
    except InvalidWheelFilename:
        raise _Refused(f"{text!r} is no wheel", "Build a wheel, and name that.") from None
    return f"{name} @ {target}" + (f" ; {marker.strip()}" if marker else "")


def _check_file(name: str, url: str) -> None:
    filename = filename_of(url, None)
    if url.partition(":")[0] not in ("http", "https", "file"):
        raise _Refused(f"{name} is neither at an http, https nor file URL", "Build a wheel of it, and name that.")
    try:
        named = parse_wheel_filename(filename)[0]
    except InvalidWheelFilename:
        raise _Refused(f"{filename or url!r} is no wheel", "Build a wheel, and name that: sources are not built here.") from None
    if named != name:
        raise _Refused(f"the wheel {filename} is not of {name}", "Correct the name or the URL.")


def _index(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "file"):
        raise _Refused("an index must be an http, https or file URL", "Correct the URL.")
    if parts.username or parts.password:
        hint = "Compile with --no-emit-index-url, name the index by the key 'index', and write its password into ~/.netrc."
        raise _Refused("the URL of an index has a password in it", hint, is_secret=True)
    return url


def _options(text: str) -> Iterator[tuple[str, str]]:
    """Each option by its long name, with its value."""
    try:
        words = iter(shlex.split(text))
    except ValueError as error:
        raise _Refused(f"its options cannot be read: {error}") from None
    for word in words:
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:].lstrip("="))
        name = _SHORT.get(name, name)
        if not name.startswith("-"):
            raise _Refused(f"{word!r} stands among options")
        if not equals and name not in _FLAGS and name not in ("--no-index",):
            value = next(words, "")
            if not value:
                raise _Refused(f"the option {name} lacks its value")
        yield name, value


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, continued ones put together, each with the number of its first."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if parts else number
        bare = _COMMENT.sub("", line)
        continued = bare == line and line.endswith("\\")
        parts.append(line[:-1] if continued else bare)
        if not continued:
            if whole := "".join(parts).strip():
                yield first, whole
            parts.clear()
    if whole := "".join(parts).strip():
        yield first, whole
