"""One wheel that a lock file pins, and what is refused of those that it names."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from packaging.tags import Tag, create_compatible_tags_selector
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from deployer.errors import Place
from deployer.packages.errors import PackageInvalid
from deployer.packages.python.platform import PythonPlatform

_DIGEST_BYTES: Final = {"sha256": 32, "sha512": 64}
_HEXADECIMAL: Final = re.compile(r"[0-9a-fA-F]+")
_SCHEMES: Final = ("http", "https", "file")


@dataclass(frozen=True, slots=True)
class LockedWheel:
    """One wheel, pinned."""

    name: str
    version: str
    filename: str
    digest: str
    """SRI."""
    url: str = ""
    path: Path | None = None
    """Where it lies, in place of a URL."""
    size: int = 0
    """Bytes; 0 where the lock file does not tell."""
    place: Place | None = field(default=None, compare=False)
    """Where it is pinned."""


@dataclass(frozen=True, slots=True)
class WheelFile:
    """A file as a lock file describes it, not yet checked."""

    url: str | None
    path: str | None
    filename: str
    hashes: Mapping[str, str]
    """Algorithm → hexadecimal digest."""
    size: int | None


@dataclass(frozen=True, slots=True)
class LockFile:
    """A lock file of Python packages that the package `asker` names, as text."""

    asker: str
    path: Path
    text: str
    line: int = 0
    """Where what is asked for stands, if it is known already."""

    def place_of(self, word: str) -> Place:
        """The first line that holds `word`; the whole file where none does."""
        if self.line:
            return Place(str(self.path), self.line)
        before, found, _ = self.text.partition(word) if word else ("", "", "")
        return Place(str(self.path), before.count("\n") + 1) if found else Place(str(self.path))

    def refuse(self, reason: str, hint: str, *, word: str = "") -> PackageInvalid:
        """The error that something in it cannot be used."""
        return PackageInvalid(self.asker, reason, self.place_of(word), hint)

    def wheel(
        self, name: str, version: str, files: Sequence[WheelFile], platform: PythonPlatform, *, has_source: bool
    ) -> LockedWheel:
        """The best of a project's files for the platform. Raises `PackageInvalid` where none fits, or it cannot be verified."""
        project = f"{name} {version}".strip()
        selector = create_compatible_tags_selector(platform.tags)
        best = next(selector([(item, self._tags(item.filename)) for item in files]), None)
        if best is None and not files:
            reason = f"{project} has no wheel" + (", only a source distribution" if has_source else "")
            raise self.refuse(reason, "Build a wheel of it, and lock that: sources are not built here.", word=f'"{name}"')
        if best is None:
            reason = f"{project} has no wheel for {platform}"
            raise self.refuse(reason, "Lock a version that has one, or take another interpreter.", word=files[0].filename)
        return self._check(name, version, best)

    def _tags(self, filename: str) -> frozenset[Tag]:
        try:
            return parse_wheel_filename(filename)[3]
        except InvalidWheelFilename:
            raise self.refuse(f"{filename!r} is no name of a wheel", "Lock again.", word=filename) from None

    def _check(self, name: str, version: str, file: WheelFile) -> LockedWheel:
        again = "Lock again with hashes: 'uv lock', 'pip lock', or 'uv pip compile --generate-hashes'."
        usable = {algorithm: text for algorithm, text in file.hashes.items() if algorithm in _DIGEST_BYTES}
        if not usable:
            raise self.refuse(f"the wheel {file.filename} has no sha256 or sha512 hash", again, word=file.filename)
        algorithm, text = next(iter(sorted(usable.items())))
        if len(text) != 2 * _DIGEST_BYTES[algorithm] or not _HEXADECIMAL.fullmatch(text):
            raise self.refuse(f"the {algorithm} hash of {file.filename} is not one", again, word=file.filename)
        parts = urlsplit(file.url or "")
        if file.url and (parts.scheme not in _SCHEMES or parts.username or parts.password):
            reason = f"the URL of {file.filename} is none of http, https, file, or has a password in it"
            raise self.refuse(
                reason,
                "Lock against an index without a password in its URL, and write the password into ~/.netrc.",
                word=file.filename,
            )
        if not file.url and not file.path:
            raise self.refuse(f"nothing says where {file.filename} is", again, word=file.filename)
        return LockedWheel(
            name,
            version,
            file.filename,
            f"{algorithm}-{base64.b64encode(bytes.fromhex(text)).decode()}",
            file.url or "",
            None if file.url else self.path.parent / str(file.path),
            file.size or 0,
            self.place_of(file.filename),
        )


def filename_of(url: str | None, path: str | None) -> str:
    """The last part of a URL or path."""
    return unquote(urlsplit(url).path if url else path or "").rpartition("/")[2]
