"""What the indexes of today have that is newer than what a lock pins: in the suites of each set, and in their security suites."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.errors import DeployerError, raise_all
from deployer.packages.debian.apt import Apt, has_apt
from deployer.packages.debian.signed_suite import read_suite
from deployer.packages.debian.version import DebianVersion
from deployer.packages.errors import IndexRefused
from deployer.packages.lockfile import LockedDebian, LockedIndex
from deployer.packages.mirrors import Mirror, mirrors_of

SECURITY: Final = "-security"
_ROLLING: Final = frozenset({"sid", "unstable", "experimental", "rc-buggy"})
"""Fixes come to these suites like all else: they have no security suite."""
_POCKET: Final = re.compile(r"-(?:updates|proposed|proposed-updates|backports|backports-sloppy)$")
_CAT: Final = "/usr/lib/apt/apt-helper"
_FIELD: Final = re.compile(rb"^(Package|Version): (\S+)$", re.MULTILINE)

_Index = tuple[str, tuple[str, ...], str]
"""Suite, its components, and architecture."""


@dataclass(frozen=True, slots=True)
class Update:
    """A locked .deb of which an index has a newer version."""

    package_set: str
    """The package of kind `debian` that has it."""
    package: str
    """Debian's name."""
    architecture: str
    locked: str
    newest: str
    """The greatest version of any of the suites."""
    suites: tuple[str, ...]
    """Those that have a newer version than the locked one, security suites first."""

    @property
    def is_security(self) -> bool:
        """Whether a security suite has a newer version: then a fault of the locked one is known to all."""
        return any(suite.endswith(SECURITY) for suite in self.suites)


def security_suite(suite: str) -> str | None:
    """The suite that brings security fixes for a suite: bookworm-security for bookworm and bookworm-updates; None for sid."""
    base = _POCKET.sub("", suite)
    if base in _ROLLING or base.endswith(("/", SECURITY)):
        return None
    return f"{base}{SECURITY}"


def suites_to_ask(locked: LockedDebian) -> tuple[str, ...]:
    """The suites of a set and their security suites, each once."""
    security = (security_suite(suite) for suite in locked.suites)
    return tuple(dict.fromkeys([*locked.suites, *(suite for suite in security if suite)]))


async def find_updates(sets: Mapping[str, LockedDebian], mirrors: Sequence[Mirror]) -> dict[str, tuple[Update, ...]]:
    """The updates that are due in each set, by its name; each index is fetched once, and verified as for a lock.

    Raises `MirrorsUnknown` and `IndexRefused`, all of them together; also where an index is older than the one that was locked.
    """
    sources = ((suite, one.components, one.architecture) for one in sets.values() for suite in suites_to_ask(one))
    asked = sorted(set(sources))
    answers = await asyncio.gather(*(_versions(index, mirrors, sets) for index in asked))
    raise_all(answer for answer in answers if isinstance(answer, DeployerError))
    indexes = {index: answer for index, answer in zip(asked, answers, strict=True) if not isinstance(answer, DeployerError)}
    return {name: tuple(_updates(name, locked, indexes)) for name, locked in sorted(sets.items())}


def _updates(name: str, locked: LockedDebian, indexes: Mapping[_Index, Mapping[str, DebianVersion]]) -> Iterator[Update]:
    asked = sorted(suites_to_ask(locked), key=lambda suite: not suite.endswith(SECURITY))
    for deb in sorted(locked.debs, key=lambda deb: deb.name):
        ours = DebianVersion.parse(deb.version)
        found = {suite: indexes[suite, locked.components, locked.architecture].get(deb.name, ours) for suite in asked}
        newer = {suite: version for suite, version in found.items() if version > ours}
        if newer:
            yield Update(name, deb.name, deb.architecture, deb.version, max(newer.values()).text, tuple(newer))


async def _versions(
    asked: _Index, mirrors: Sequence[Mirror], sets: Mapping[str, LockedDebian]
) -> Mapping[str, DebianVersion] | DeployerError:
    """The greatest version of each package of a suite; or why that cannot be known."""
    suite = asked[0]
    dates = [index.date for locked in sets.values() for index in locked.indexes if index.suite == suite]
    wanted = {deb.name for locked in sets.values() for deb in locked.debs}
    refused: list[str] = []
    try:
        # A mirror that was named without its suites may not have the security suite, which often lies on one of its own.
        for mirror in mirrors_of(suite, mirrors):
            try:
                return await _ask(mirror, asked, since=max(dates, default=""), wanted=wanted)
            except IndexRefused as error:
                refused += error.reasons
    except DeployerError as error:
        return error
    return IndexRefused((suite,), tuple(dict.fromkeys(refused)))


async def _ask(mirror: Mirror, asked: _Index, *, since: str, wanted: set[str]) -> Mapping[str, DebianVersion]:
    index, packages = await (_by_apt if has_apt() else _without_apt)(mirror, *asked)
    if index.date < since:
        # Otherwise a mirror that lags, or somebody who keeps one back, would have us say that all is well.
        raise IndexRefused((index.suite,), (f"it is of {index.date}, older than the one that was locked, of {since}",))
    return newest_versions(packages, wanted)


async def _without_apt(mirror: Mirror, suite: str, components: Sequence[str], architecture: str) -> tuple[LockedIndex, bytes]:
    read = await read_suite(mirror, suite, architecture, components)
    return read.index, read.packages


async def _by_apt(mirror: Mirror, suite: str, components: Sequence[str], architecture: str) -> tuple[LockedIndex, bytes]:
    with tempfile.TemporaryDirectory(prefix="deployer-apt-") as directory:
        apt = await Apt.prepare(Path(directory), {suite: mirror}, architecture, components)
        (index,) = apt.indexes
        targets = await apt.ask("apt-get", "indextargets", "--format", "$(FILENAME)", "Created-By: Packages")
        files = targets.text.splitlines()
        return index, (await apt.ask(_CAT, "cat-file", *files)).stdout if files else b""


def newest_versions(index: bytes, wanted: set[str]) -> dict[str, DebianVersion]:
    """The greatest version of each wanted package in a `Packages` file."""
    found: dict[str, DebianVersion] = {}
    name = ""
    for match in _FIELD.finditer(index):
        value = match[2].decode(errors="replace")
        if match[1] == b"Package":
            name = value
        elif name in wanted:
            version = DebianVersion.parse(value)
            found[name] = max(version, found.get(name, version))
    return found
