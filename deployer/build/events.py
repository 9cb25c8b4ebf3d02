"""What `realise` tells while it works. Rooms never print; the command line draws these and logs them."""

from __future__ import annotations

from dataclasses import dataclass

from deployer.errors import DeployerError


@dataclass(frozen=True, slots=True)
class BuildEvent:
    """Something happened to one derivation."""

    derivation: str
    """Its store path."""
    name: str
    """For people: the derivation's name."""


@dataclass(frozen=True, slots=True)
class BuildStarted(BuildEvent):
    """A builder has begun."""


@dataclass(frozen=True, slots=True)
class BuildWaited(BuildEvent):
    """Somebody else, perhaps another process, is making the same; we wait for it."""


@dataclass(frozen=True, slots=True)
class BuildLogged(BuildEvent):
    """A builder printed a line."""

    line: str


@dataclass(frozen=True, slots=True)
class DownloadProgressed(BuildEvent):
    """A download went on."""

    url: str
    received: int
    total: int
    """0: not known."""


@dataclass(frozen=True, slots=True)
class PathSubstituted(BuildEvent):
    """An output came from a binary cache."""

    path: str


@dataclass(frozen=True, slots=True)
class BuildEnded(BuildEvent):
    """A builder ended well and its outputs are registered."""

    outputs: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class BuildStopped(BuildEvent):
    """A builder ended badly, or was not begun because a dependency did."""

    error: DeployerError


@dataclass(frozen=True, slots=True)
class GraphScheduled:
    """How much there is to do; comes first."""

    total: int
    """Derivations that are not valid yet."""
