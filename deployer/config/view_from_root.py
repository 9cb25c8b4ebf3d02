"""What of the host's files a service sees whose root is the tree of a package, where it is to serve what others put there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_LIVE: Final = ("/run", "/var")
"""Whole, because directories in them come and go while the service runs: those of sockets, of certificates."""
_READ: Final = ("/home", "/mnt", "/opt", "/root", "/srv")
"""Every tree has a place for these."""
_SEEN: Final = frozenset({*_LIVE, *_READ, "/etc", "/nix"})


def host_files(named: Iterable[str]) -> dict[str, list[str]]:
    """The directives that show a service with a root the host's own data, and the names in `/etc` that `named` paths are in."""
    in_etc = {"/".join(path.split("/")[:3]) for path in named if path.startswith("/etc/")}
    return {"BindPaths": [*_LIVE], "BindReadOnlyPaths": [f"-{path}" for path in (*_READ, *sorted(in_etc))]}


def out_of_sight(path: str) -> str:
    """What to do about an absolute path that is not among them; empty: it is seen, if it is there."""
    places = ", ".join(sorted({*_LIVE, *_READ} - {"/run"}))
    return "" if f"/{path.split('/')[1]}" in _SEEN else f"Have it below one of {places}; by a bind mount, for one."
