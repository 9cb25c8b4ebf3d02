"""One tarball that a lock file pins, and what is refused of those that it names."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from deployer.errors import Place
from deployer.packages.npm.directories import name_of
from deployer.packages.npm.lock_file import AGAIN, Entry, NpmLock

_DIGEST_BYTES: Final = {"sha512": 64, "sha256": 32}
"""The hashes that are trusted, the best first."""
_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True, slots=True)
class LockedTarball:
    """One package at one place of the project, pinned."""

    path: str
    """Where it is unpacked: `node_modules/a/node_modules/b`."""
    version: str
    url: str
    digest: str
    """SRI."""
    place: Place | None = field(default=None, compare=False)
    """Where it is pinned."""

    @property
    def filename(self) -> str:
        """The last part of its URL."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2] or "package.tgz"


def locked_tarball(lock: NpmLock, path: str, entry: Entry, registry: str) -> LockedTarball:
    """What an entry pins; one without a URL is in the `registry`. Raises `PackageInvalid` where it cannot be had or verified."""
    url, named = entry.get("resolved"), name_of(path)
    if url is None and registry:
        # An entry tells its name where it lies under another.
        name, version = str(entry.get("name") or named), entry.get("version", "")
        url = f"{registry.rstrip('/')}/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
    if not isinstance(url, str):
        hint = "Say where by 'registry', or run 'npm install --package-lock-only --omit-lockfile-registry-resolved=false'."
        raise lock.refuse(f"nothing says where {named} is: it has no 'resolved'", hint, key=path)
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        kind = "a git repository" if parts.scheme.startswith("git") else f"a URL of the kind {parts.scheme or 'file'!r}"
        hint = "Publish it to a registry, and depend on that."
        raise lock.refuse(f"{named} comes from {kind}, and only tarballs of http and https are taken", hint, key=path)
    if parts.username or parts.password:
        hint = "Lock against a registry without a password in its URL, and write the password into ~/.netrc."
        raise lock.refuse(f"the URL of {named} has a password in it", hint, key=path)
    return LockedTarball(path, str(entry.get("version", "")), url, _digest(lock, path, entry), lock.place_of(path))


def _digest(lock: NpmLock, path: str, entry: Entry) -> str:
    """The best hash of those that `integrity` lists."""
    named = name_of(path)
    hashes: dict[str, str] = {}
    for item in str(entry.get("integrity") or "").split():
        algorithm, _, text = item.partition("?")[0].partition("-")
        hashes.setdefault(algorithm, text)
    best = next((algorithm for algorithm in _DIGEST_BYTES if algorithm in hashes), None)
    if best is None:
        has = f"only {' and '.join(sorted(hashes))}" if hashes else "none"
        hint = "Delete this entry and run 'npm install --package-lock-only' with a registry that tells sha512."
        raise lock.refuse(f"{named} has no sha512 or sha256 hash in 'integrity', but {has}", hint, key=path)
    try:
        digest = base64.b64decode(hashes[best], validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _DIGEST_BYTES[best]:
        raise lock.refuse(f"the {best} hash of {named} is not one", AGAIN, key=path)
    return f"{best}-{base64.b64encode(digest).decode()}"
