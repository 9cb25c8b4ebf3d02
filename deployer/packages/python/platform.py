"""What wheels must fit: the Python, the C library and the architecture of a locked set of Debian packages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from packaging.markers import Environment, Marker
from packaging.tags import Tag, compatible_tags, cpython_tags

from deployer.errors import Place
from deployer.packages.errors import PackageInvalid
from deployer.packages.lockfile import LockedDeb
from deployer.packages.recipes import DEBIAN_ARCHITECTURES

_PYTHON: Final = re.compile(r"python3\.(\d+)")
_UPSTREAM: Final = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)+)")
_OLDEST_GLIBC: Final = {"x86_64": 5, "aarch64": 17}
"""The first manylinux of each machine, as the minor version of glibc."""
_LEGACY: Final = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_LOADER_TAKES_NAME: Final = (2, 33)
"""The first glibc whose loader can be told a name for the program that it starts (`--argv0`)."""


@dataclass(frozen=True)
class PythonPlatform:
    """CPython on Linux."""

    version: tuple[int, int, int]
    """Of Python: major, minor, micro."""
    glibc: tuple[int, int]
    machine: str
    """As `uname -m` says it."""

    @classmethod
    def of(cls, name: str, architecture: str, debs: Iterable[LockedDeb], *, asker: str, place: Place | None) -> PythonPlatform:
        """That of the `debs` which the package `name` is locked to. Raises `PackageInvalid` for the package `asker`."""
        upstream = {deb.name: _numbers(deb.version) for deb in debs}
        pythons = [version for deb, version in upstream.items() if _PYTHON.fullmatch(deb)]
        glibc = upstream.get("libc6", ())
        if not pythons or len(max(pythons)) < 3 or len(glibc) < 2:
            hint = f"Add python3 to the packages of {name!r}, and run 'deployer lock'."
            raise PackageInvalid(asker, f"its interpreter {name!r} has no python3 in it", place, hint)
        major, minor, micro = max(pythons)[:3]
        return cls((major, minor, micro), (glibc[0], glibc[1]), DEBIAN_ARCHITECTURES[architecture])

    @property
    def needs_link(self) -> bool:
        """Whether an environment starts Python by a link, as the loader cannot be told a name for it."""
        return self.glibc < _LOADER_TAKES_NAME

    @property
    def short_version(self) -> str:
        """Major and minor: `3.11`."""
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def full_version(self) -> str:
        """All three numbers: `3.11.2`."""
        return ".".join(map(str, self.version))

    def __str__(self) -> str:
        """For people."""
        return f"Python {self.full_version} on {self.machine} with glibc {self.glibc[0]}.{self.glibc[1]}"

    @cached_property
    def environment(self) -> Environment:
        """What markers are evaluated in."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self.full_version,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.full_version,
            "python_version": self.short_version,
            "sys_platform": "linux",
        }

    def holds(self, marker: str) -> bool:
        """Whether a marker is true here, no extra being asked for. Raises `InvalidMarker`."""
        return Marker(marker).evaluate({**self._variables, "extra": ""})

    @property
    def _variables(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.environment.items()}

    @cached_property
    def tags(self) -> tuple[Tag, ...]:
        """Of the wheels that run here, the best first."""
        python, interpreter = self.version[:2], f"cp{self.version[0]}{self.version[1]}"
        platforms = tuple(self._platforms())
        return (
            *cpython_tags(python, [interpreter], platforms),
            *compatible_tags(python, interpreter, platforms),
        )

    def _platforms(self) -> Iterator[str]:
        for minor in range(self.glibc[1], _OLDEST_GLIBC[self.machine] - 1, -1):
            yield f"manylinux_2_{minor}_{self.machine}"
            if minor in _LEGACY:
                yield f"{_LEGACY[minor]}_{self.machine}"
        yield f"linux_{self.machine}"


def _numbers(version: str) -> tuple[int, ...]:
    match = _UPSTREAM.match(version)
    return tuple(map(int, match[1].split("."))) if match else ()
