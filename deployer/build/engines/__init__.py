"""Engines that build elsewhere than in this machine's sandbox. `open_engine` finds one by its URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from deployer.build.engine import Engine
from deployer.errors import ConfigurationError

__all__ = ["EngineUnknown", "open_engine"]

_NIX = "nix"
_PARAMETERS = {"store", "system", "feature", "jobs"}


@dataclass(eq=False)
class EngineUnknown(ConfigurationError):
    """A builder was named that is none."""

    url: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"{self.url!r} is no builder: {self.reason}"

    @property
    def remedy(self) -> str:
        """What there is."""
        return "`nix` hands builds to the Nix of this machine; `nix?store=URL&system=NAME&feature=NAME&jobs=N` says more of it."


def open_engine(url: str) -> Engine:
    """The engine that a URL names. Nothing is started. Raises `EngineUnknown`."""
    from deployer.build.engines.nix import NixEngine

    parts = urlsplit(url)
    if parts.path != _NIX or parts.scheme or parts.netloc or parts.fragment:
        raise EngineUnknown(url, "its kind is not known")
    try:
        given = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), max_num_fields=100)
    except ValueError:
        raise EngineUnknown(url, "what follows the question mark is not NAME=VALUE&…") from None
    for name, values in given.items():
        if name not in _PARAMETERS:
            raise EngineUnknown(url, f"there is no parameter {name!r}")
        if not all(values) or (name in {"store", "jobs"} and len(values) > 1):
            raise EngineUnknown(url, f"{name} needs one value" if name in {"store", "jobs"} else f"{name} has no value")
    jobs = given.get("jobs", ["0"])[0]
    if not (jobs.isascii() and jobs.isdecimal() and len(jobs) < 5):
        raise EngineUnknown(url, f"{jobs!r} is no number of jobs")
    return NixEngine(
        store_url=given.get("store", [""])[0],
        systems=tuple(given.get("system", ())),
        features=tuple(given.get("feature", ())),
        jobs=int(jobs),
    )
