"""Why there is no solution, in words that lead to one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable
from typing import Final

from deployer.errors import near
from deployer.packages.errors import PackageInvalid
from deployer.packages.lockfile import DebianRequest

_UNKNOWN: Final = re.compile(r"E: (?:Unable to locate package (\S+)|Package '(\S+)' has no installation candidate)")
_NO_VERSION: Final = re.compile(r"E: Version '(\S+)' for '(\S+)' was not found")
_UNMET: Final = "The following packages have unmet dependencies:\n"
_LENGTH: Final = 3
"""By how many characters a name that was meant may be longer or shorter."""


def unsolvable(request: DebianRequest, printed: str, *, names: Collection[str], versions: Collection[str]) -> PackageInvalid:
    """The error that apt's output means. `names`: all of the indexes; `versions`: of the package whose version is not there."""
    if unknown := _UNKNOWN.search(printed):
        name = unknown[1] or unknown[2]
        providers = _provided_by(printed, name)
        return only_provided(request, name, providers) if providers else unknown_name(request, name, names)
    if missing := _NO_VERSION.search(printed):
        return unknown_version(request, missing[2], missing[1], versions)
    if _UNMET in printed:
        unmet = printed.partition(_UNMET)[2].partition("\nE:")[0].rstrip().splitlines()
        return not_together(request, (line.strip() for line in unmet))
    told = " | ".join(line for line in printed.splitlines() if line.startswith("E:"))
    return PackageInvalid(request.name, f"apt cannot solve it: {told or printed.strip()}", request.place)


def _provided_by(printed: str, name: str) -> tuple[str, ...]:
    """The packages that apt says to provide a name, which is no package's."""
    _, _, told = printed.partition(f"Package {name} is a virtual package provided by:\n")
    lines = itertools.takewhile(lambda line: line.startswith(" "), told.splitlines())
    return tuple(dict.fromkeys(line.split()[0] for line in lines))


def unknown_name(request: DebianRequest, name: str, names: Collection[str]) -> PackageInvalid:
    """No index has a package of this name; `names`: those that they have."""
    candidates = [known for known in names if abs(len(known) - len(name)) <= _LENGTH]
    nearest = near(name, candidates)
    hint = f"Did you mean {' or '.join(map(repr, nearest))}?" if nearest else "Check its name, and whether 'suite' has it."
    return PackageInvalid(request.name, f"no index of {' or '.join(request.suites)} has a package {name!r}", request.place, hint)


def only_provided(request: DebianRequest, name: str, providers: Collection[str]) -> PackageInvalid:
    """A name is no package's, and several provide it."""
    reason = f"no index of {' or '.join(request.suites)} has a package {name!r}, but several that provide it"
    return PackageInvalid(request.name, reason, request.place, f"Name one of them: {', '.join(providers)}.")


def unknown_version(request: DebianRequest, name: str, version: str, versions: Collection[str]) -> PackageInvalid:
    """No index has this version of a package; `versions`: those that they have."""
    reason = f"no index of {' or '.join(request.suites)} has version {version} of {name}"
    there = f"Those that are there: {', '.join(versions)}." if versions else ""
    return PackageInvalid(request.name, reason, request.place, there)


def not_together(request: DebianRequest, reasons: Iterable[str]) -> PackageInvalid:
    """Packages can't be in one tree; a reason is a package, a colon, and what it needs or refuses."""
    reason = "\n".join(["these packages cannot be installed together", *(f"    {line}" for line in reasons)])
    hint = "Leave one of them out, take another version, or add the suite that has what is missing."
    return PackageInvalid(request.name, reason, request.place, hint)


def version_not_found(printed: str) -> str:
    """The package whose version no index has; empty where that is not what is wrong."""
    missing = _NO_VERSION.search(printed)
    return missing[2] if missing else ""
