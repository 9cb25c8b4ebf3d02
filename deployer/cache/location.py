"""The address of a cache, with the parameters that Nix knows: `https://cache.example.org?priority=10&trusted=false`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from deployer.cache.compression import SUFFIXES
from deployer.cache.errors import CacheUnusable

SCHEMES: Final = ("file", "http", "https", "s3", "ssh")
_TRUE, _FALSE = frozenset({"1", "true", "yes", ""}), frozenset({"0", "false", "no"})


@dataclass(frozen=True, slots=True)
class Location:
    """Where a cache is, and how it is to be read and written. None: as the cache itself says, or as we would."""

    scheme: str
    url: str
    """Without parameters, and without a slash at the end; it may hold a user's name and password."""
    priority: int | None = None
    trusted: bool = False
    """Whether what nobody signed is taken from it."""
    want_mass_query: bool | None = None
    compression: str | None = None
    secret_key: Path | None = None
    """The file of the key that signs what is pushed."""
    write_nar_listing: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    """What only one kind of cache has: `endpoint`, `region`, `profile` and `scheme` of S3, `ssh-key` and `become` of SSH."""

    @property
    def shown(self) -> str:
        """The address for people: nobody's password in it."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.password is not None else self.url

    @classmethod
    def parse(cls, text: str) -> Location:
        """Read an address. A bare path is a directory. Raises `CacheUnusable`."""
        if text.startswith("/"):
            text = f"file://{text}"
        parts = urlsplit(text)
        bare = urlunsplit(parts._replace(query="", fragment="")).rstrip("/")
        if parts.scheme not in SCHEMES:
            raise CacheUnusable(text, f"its scheme is none of {', '.join(SCHEMES)}")
        known: dict[str, Any] = {}
        options: dict[str, str] = {}
        for key, value in parse_qsl(parts.query, keep_blank_values=True):
            if key in _READERS:
                name, read = _READERS[key]
                try:
                    known[name] = read(value)
                except ValueError as error:
                    raise CacheUnusable(bare, f"its parameter {key} can't be {value!r}: {error}") from None
            elif key in _OPTIONS.get(parts.scheme, ()):
                options[key] = value
            elif key not in _IGNORED:
                raise CacheUnusable(bare, f"it has no parameter {key!r}{_nearest(key, parts.scheme)}")
        return cls(parts.scheme, bare, options=options, **known)


def _boolean(text: str) -> bool:
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ValueError("it is true or false")


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise ValueError("it is a number")


def _compression(text: str) -> str:
    if text in SUFFIXES:
        return text
    raise ValueError(f"it is one of {', '.join(SUFFIXES)}")


def _nearest(key: str, scheme: str) -> str:
    near = difflib.get_close_matches(key, [*_READERS, *_OPTIONS.get(scheme, ())], 1)
    return f"; did you mean {near[0]!r}?" if near else ""


_READERS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "priority": ("priority", _number),
    "trusted": ("trusted", _boolean),
    "want-mass-query": ("want_mass_query", _boolean),
    "compression": ("compression", _compression),
    "secret-key": ("secret_key", Path),
    "write-nar-listing": ("write_nar_listing", _boolean),
}
_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": ("endpoint", "region", "profile", "scheme"),
    "ssh": ("ssh-key", "become"),
}
_IGNORED: Final = frozenset(
    {"store", "parallel-compression", "compression-level", "index-debug-info", "local-nar-cache", "path-info-cache-size"}
)
"""Parameters of Nix that change nothing here."""
