"""Engines that build elsewhere than in this machine's sandbox. `open_engine` finds one by its URL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from deployer.build.engine import Engine
from deployer.build.engines.errors import EngineUnknown

if TYPE_CHECKING:
    from deployer.build.engines.remote import Builder
    from deployer.store import Store

__all__ = ["EngineUnknown", "Reach", "ReachOpener", "open_engine"]

_NIX: Final = "nix"
_SSH: Final = "ssh"
_ONE: Final = {_NIX: {"store", "jobs"}, _SSH: {"jobs", "ssh-key", "become"}}
"""Parameters that are given once, by the kind of engine."""
_MANY: Final = {"system", "feature"}
_YES_OR_NO: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Reach:
    """How a machine that builds is reached."""

    name: str
    connect: Callable[[], Awaitable[Builder]]
    carried: Callable[[Store], Collection[str]] = lambda _: ()
    """Paths that it is to have besides what builds need."""


ReachOpener = Callable[[str, str | None, bool], Reach]
"""From `ssh://…` without parameters, a file with a private key, and whether to become root. Nothing is connected yet."""


def open_engine(url: str, *, reach: ReachOpener | None = None) -> Engine:
    """The engine that a URL names. Nothing is started. Raises `EngineUnknown`, and what `reach` raises."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise EngineUnknown(url, str(error)) from None
    is_nix = parts.path == _NIX and not parts.scheme and not parts.netloc
    kind = _NIX if is_nix else _SSH
    if parts.fragment or not (is_nix or (parts.scheme == _SSH and reach is not None)):
        raise EngineUnknown(url, "its kind is not known")
    given = _parameters(url, parts.query, kind)
    jobs = given.get("jobs", ["0"])[0]
    if not (jobs.isascii() and jobs.isdecimal() and len(jobs) < 5):
        raise EngineUnknown(url, f"{jobs!r} is no number of jobs")
    systems, features = tuple(given.get("system", ())), tuple(given.get("feature", ()))
    if reach is None or kind == _NIX:
        from deployer.build.engines.nix import NixEngine

        return NixEngine(store_url=given.get("store", [""])[0], systems=systems, features=features, jobs=int(jobs))
    from deployer.build.engines.remote import RemoteEngine

    become = given.get("become", ["false"])[0]
    if become not in _YES_OR_NO:
        raise EngineUnknown(url, "become is either true or false")
    way = reach(parts._replace(query="").geturl(), given.get("ssh-key", [None])[0], _YES_OR_NO[become])
    return RemoteEngine(way.name, way.connect, carried=way.carried, systems=systems, features=features, jobs=int(jobs))


def _parameters(url: str, query: str, kind: str) -> Mapping[str, list[str]]:
    try:
        given = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=100)
    except ValueError:
        raise EngineUnknown(url, "what follows the question mark is not NAME=VALUE&…") from None
    for name, values in given.items():
        if name not in _ONE[kind] | _MANY:
            raise EngineUnknown(url, f"there is no parameter {name!r}")
        if not all(values) or (name in _ONE[kind] and len(values) > 1):
            raise EngineUnknown(url, f"{name} needs one value" if name in _ONE[kind] else f"{name} has no value")
    return given
