"""Solving sets of Debian packages: by apt in a state of its own (see `apt`), or by resolvelib where there is no apt."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from deployer.packages.debian.apt import CONVERTER, NO_PREFERENCES, Apt, has_apt
from deployer.packages.debian.stanzas import deb_of, fields_of
from deployer.packages.debian.unsolvable import unsolvable, version_not_found
from deployer.packages.errors import PackageInvalid
from deployer.packages.lockfile import DebianRequest, LockedDeb, LockedDebian, LockedIndex
from deployer.packages.mirrors import Mirror, mirrors_of
from deployer.packages.web import Unreadable, read

_INSTALL: Final = re.compile(r"^Inst (?P<name>\S+) \((?P<version>\S+) .*\[(?P<architecture>[a-z0-9-]+)\]\)", re.MULTILINE)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]*(=[A-Za-z0-9.+~:-]+)?")


class _Sources(NamedTuple):
    """What is read for a request, and for those that are alike in it."""

    suites: tuple[str, ...]
    components: tuple[str, ...]
    architecture: str


_Solved = tuple[tuple[LockedIndex, ...], Mapping[str, tuple[LockedDeb, ...]]]
"""The indexes, and what each request comes to."""


async def solve(requests: Sequence[DebianRequest], mirrors: Sequence[Mirror]) -> dict[str, LockedDebian]:
    """What each request comes to today. Raises `MirrorsUnknown`, `IndexRefused`, `PackageInvalid`."""
    for request in requests:
        for name in request.packages:
            if not _NAME.fullmatch(name):
                raise PackageInvalid(request.name, f"{name!r} is no name of a Debian package", request.place)
    locked: dict[str, LockedDebian] = {}
    by_apt = has_apt()
    for asked in sorted({_Sources(one.suites, one.components, one.architecture) for one in requests}):
        chosen = {suite: await asyncio.to_thread(_mirror_with, suite, mirrors_of(suite, mirrors)) for suite in asked.suites}
        alike = [one for one in requests if _Sources(one.suites, one.components, one.architecture) == asked]
        indexes, found = await (_by_apt if by_apt else _without_apt)(alike, chosen, asked)
        for one in alike:
            debs = found[one.name]
            locked[one.name] = LockedDebian(one.suites, one.packages, one.architecture, debs, indexes, one.components)
    return locked


def _mirror_with(suite: str, mirrors: Sequence[Mirror]) -> Mirror:
    """The first mirror that has a suite. Security suites often lie on a mirror of their own, and its URL does not tell."""
    for mirror in mirrors if len(mirrors) > 1 else ():
        for name in ("InRelease", "Release"):
            try:
                if read(f"{mirror.url.rstrip('/')}/dists/{suite}/{name}", method="HEAD", longest=0) is not None:
                    return mirror
            except Unreadable:
                break
    return mirrors[0]  # what is wrong is told when it is asked


async def _without_apt(requests: Sequence[DebianRequest], chosen: Mapping[str, Mirror], asked: _Sources) -> _Solved:
    # Its library is needed on such machines only.
    from deployer.packages.debian.package_index import DebianIndex
    from deployer.packages.debian.resolution import resolve
    from deployer.packages.debian.signed_suite import read_suite

    reading = (read_suite(mirror, suite, asked.architecture, asked.components) for suite, mirror in chosen.items())
    suites = await asyncio.gather(*reading)
    files = [(one.packages, one.priority) for one in suites]
    index = await asyncio.to_thread(DebianIndex, files, asked.architecture)
    solved = {request.name: await asyncio.to_thread(resolve, request, index) for request in requests}
    return tuple(one.index for one in suites), solved


async def _by_apt(requests: Sequence[DebianRequest], chosen: Mapping[str, Mirror], asked: _Sources) -> _Solved:
    with tempfile.TemporaryDirectory(prefix="deployer-apt-") as directory:
        apt = await Apt.prepare(Path(directory), chosen, asked.architecture, asked.components)
        return apt.indexes, {request.name: await _solve(apt, request) for request in requests}


async def _solve(apt: Apt, request: DebianRequest) -> tuple[LockedDeb, ...]:
    """The whole closure of a request."""
    asked = any(name.partition("=")[0] == CONVERTER for name in request.packages)
    options = ["-q", "--simulate", "--no-install-recommends", *(NO_PREFERENCES if asked else ())]
    install = ["apt-get", *options, "install", "--", *request.packages]
    simulated = await apt.ask(*install, check=False)
    if simulated.status:
        raise await _unsolvable(apt, request, f"{simulated.text}\n{simulated.stderr.decode(errors='replace')}")
    chosen = [match["name"] + "=" + match["version"] for match in _INSTALL.finditer(simulated.text)]
    shown = await apt.ask("apt-cache", "show", "--", *chosen)
    return tuple(sorted({deb.name: deb for deb in _records(shown.text)}.values(), key=lambda deb: deb.name))


async def _unsolvable(apt: Apt, request: DebianRequest, printed: str) -> PackageInvalid:
    names = (await apt.ask("apt-cache", "pkgnames")).text.splitlines()
    versions: list[str] = []
    if (name := version_not_found(printed)) and _NAME.fullmatch(name):
        table = await apt.ask("apt-cache", "madison", "--", name, check=False)
        versions = [line.split("|")[1].strip() for line in table.text.splitlines() if line.count("|") >= 2]
    return unsolvable(request, printed, names=names, versions=list(dict.fromkeys(versions)))


def _records(text: str) -> Iterable[LockedDeb]:
    for stanza in text.split("\n\n"):
        fields = fields_of(stanza)
        if "Filename" in fields:
            yield deb_of(fields)
