"""What npm packages must fit: the architecture of a locked set of Debian packages, on Linux with glibc."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deployer.errors import Place
from deployer.packages.errors import PackageInvalid
from deployer.packages.lockfile import LockedDeb
from deployer.packages.npm.node_versions import Version, released_version, satisfies

_CPU: Final = {"amd64": "x64", "arm64": "arm64"}
"""Debian's names to those of `process.arch`."""
_INTERPRETER: Final = "nodejs"


@dataclass(frozen=True, slots=True)
class NodePlatform:
    """Node on Linux."""

    cpu: str
    """As `process.arch` says it."""
    os: str = "linux"
    libc: str = "glibc"
    version: Version | None = None
    """Of Node; None where the Debian package does not tell."""

    @classmethod
    def of(cls, name: str, architecture: str, debs: Iterable[LockedDeb], *, asker: str, place: Place | None) -> NodePlatform:
        """That of the `debs` which the package `name` is locked to. Raises `PackageInvalid` for the package `asker`."""
        node = next((deb for deb in debs if deb.name == _INTERPRETER), None)
        if node is None:
            hint = f"Add {_INTERPRETER} to the packages of {name!r}, and run 'deployer lock'."
            raise PackageInvalid(asker, f"its interpreter {name!r} has no {_INTERPRETER} in it", place, hint)
        return cls(_CPU[architecture], version=released_version(node.version))

    def __str__(self) -> str:
        """For people."""
        return f"{self.os} on {self.cpu} with {self.libc}"

    def fits(self, conditions: Mapping[str, Any]) -> bool:
        """Whether what a package says of `os`, `cpu` and `libc` lets it be here."""
        here = {"os": self.os, "cpu": self.cpu, "libc": self.libc}
        return all(_allows(conditions.get(key, ()), value) for key, value in here.items())

    def meets(self, conditions: Mapping[str, Any]) -> bool:
        """Whether Node is of a version that a package wants by its `engines`."""
        engines = conditions.get("engines")
        wanted = engines.get("node") if isinstance(engines, Mapping) else None
        return self.version is None or not isinstance(wanted, str) or satisfies(self.version, wanted)


def _allows(listed: str | Iterable[str], value: str) -> bool:
    """As npm reads such a list: one of its names, and none of those with an exclamation mark."""
    names = [listed] if isinstance(listed, str) else list(listed)
    wanted = [name for name in names if not name.startswith("!")]
    return f"!{value}" not in names and (not wanted or wanted == ["any"] or value in wanted)
