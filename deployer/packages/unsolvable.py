"""Why apt found no solution, in words that lead to one."""

from __future__ import annotations

import re
from collections.abc import Collection
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
        candidates = [known for known in names if abs(len(known) - len(name)) <= _LENGTH]
        nearest = near(name, candidates)
        hint = f"Did you mean {' or '.join(map(repr, nearest))}?" if nearest else "Check its name, and whether 'suite' has it."
        reason = f"no index of {' or '.join(request.suites)} has a package {name!r}"
        return PackageInvalid(request.name, reason, request.place, hint)
    if missing := _NO_VERSION.search(printed):
        reason = f"no index of {' or '.join(request.suites)} has version {missing[1]} of {missing[2]}"
        there = ", ".join(versions)
        return PackageInvalid(request.name, reason, request.place, f"Those that are there: {there}." if there else "")
    if _UNMET in printed:
        unmet = printed.partition(_UNMET)[2].partition("\nE:")[0].rstrip().splitlines()
        reason = "\n".join(["apt cannot install these packages together", *(f"    {line.strip()}" for line in unmet)])
        hint = "Leave one of them out, take another version, or add the suite that has what is missing."
        return PackageInvalid(request.name, reason, request.place, hint)
    told = " | ".join(line for line in printed.splitlines() if line.startswith("E:"))
    return PackageInvalid(request.name, f"apt cannot solve it: {told or printed.strip()}", request.place)


def version_not_found(printed: str) -> str:
    """The package whose version no index has; empty where that is not what is wrong."""
    missing = _NO_VERSION.search(printed)
    return missing[2] if missing else ""
