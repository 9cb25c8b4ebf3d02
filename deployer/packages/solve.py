"""Solving a set of Debian packages with apt, in a state of its own that leaves the machine alone.

apt is given private lists, an empty list of installed packages and only the sources that the packages ask for; of the
machine's configuration it keeps how to reach the network (`Acquire::…`), and never what would let an unsigned index through.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.packages.errors import MirrorsUnknown, PackageInvalid
from deployer.packages.indexes import read_indexes, refusal, trusted_keyrings
from deployer.packages.lockfile import DebianRequest, LockedDeb, LockedDebian, LockedIndex
from deployer.packages.mirrors import Mirror
from deployer.packages.unsolvable import unsolvable, version_not_found
from deployer.process import run

_UPDATE_TIMEOUT: Final = 300.0
_INSTALL: Final = re.compile(r"^Inst (?P<name>\S+) \((?P<version>\S+) .*\[(?P<architecture>[a-z0-9-]+)\]\)", re.MULTILINE)
_STRICT: Final = {
    "Acquire::AllowInsecureRepositories": "false",
    "Acquire::AllowWeakRepositories": "false",
    "Acquire::AllowDowngradeToInsecureRepositories": "false",
    "Acquire::Check-Valid-Until": "true",
    "Acquire::Check-Date": "true",
    "APT::Get::AllowUnauthenticated": "false",
}
"""Whatever the machine's own settings say: what is locked comes from an index that is signed and has not expired."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]*(=[A-Za-z0-9.+~:-]+)?")


async def solve(requests: Sequence[DebianRequest], mirrors: Sequence[Mirror]) -> dict[str, LockedDebian]:
    """What each request comes to today. Raises `MirrorsUnknown`, `IndexRefused`, `PackageInvalid`."""
    locked: dict[str, LockedDebian] = {}
    states = {(request.suites, request.architecture) for request in requests}
    for suites, architecture in sorted(states):
        with tempfile.TemporaryDirectory(prefix="deployer-apt-") as directory:
            apt = await _Apt.prepare(Path(directory), suites, architecture, mirrors)
            for request in requests:
                if (request.suites, request.architecture) == (suites, architecture):
                    debs = await apt.solve(request)
                    locked[request.name] = LockedDebian(suites, request.packages, architecture, debs, apt.indexes)
    return locked


@dataclass(frozen=True, slots=True)
class _Apt:
    environment: Mapping[str, str]
    indexes: tuple[LockedIndex, ...]

    @classmethod
    async def prepare(cls, directory: Path, suites: Sequence[str], architecture: str, mirrors: Sequence[Mirror]) -> _Apt:
        """Write a private configuration and fetch the package lists."""
        for name in ("lists/partial", "cache/archives/partial", "etc/preferences.d"):
            (directory / name).mkdir(parents=True)
        (directory / "status").touch()
        chosen = {suite: _mirror_of(suite, mirrors) for suite in suites}
        (directory / "sources.list").write_text("".join(_sources(chosen, architecture)))
        reach = (await run(["apt-config", "dump"])).text
        lines = [line for line in reach.splitlines() if line.startswith("Acquire::")]
        settings = {
            "Dir::State": directory,
            "Dir::State::lists": directory / "lists",
            "Dir::State::status": directory / "status",
            "Dir::Cache": directory / "cache",
            "Dir::Etc::sourcelist": directory / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::main": "-",
            "Dir::Etc::parts": "-",
            "Dir::Etc::preferencesparts": directory / "etc/preferences.d",
            "Dir::Etc::preferences": "-",
            "APT::Architecture": architecture,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            **_STRICT,
        }
        lines += [f'{name} "{value}";' for name, value in settings.items()]
        lines.append(f'#clear APT::Architectures; APT::Architectures {{ "{architecture}"; }};')
        (directory / "apt.conf").write_text("\n".join(lines) + "\n")
        environment = {"APT_CONFIG": str(directory / "apt.conf"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        update = ["apt-get", "-q", "--error-on=any", "update"]
        updated = await run(update, environment=environment, timeout=_UPDATE_TIMEOUT, check=False)
        if updated.status:
            raise refusal(suites, updated.stderr.decode(errors="replace"))
        keyrings = {Path(mirror.signed_by) for mirror in chosen.values() if mirror.signed_by} or set(trusted_keyrings())
        return cls(environment, await read_indexes(directory / "lists", suites, sorted(keyrings)))

    async def solve(self, request: DebianRequest) -> tuple[LockedDeb, ...]:
        """The whole closure of a request."""
        for name in request.packages:
            if not _NAME.fullmatch(name):
                raise PackageInvalid(request.name, f"{name!r} is no name of a Debian package", request.place)
        install = ["apt-get", "-q", "--simulate", "--no-install-recommends", "install", "--", *request.packages]
        simulated = await run(install, environment=self.environment, check=False)
        if simulated.status:
            raise await self._unsolvable(request, f"{simulated.text}\n{simulated.stderr.decode(errors='replace')}")
        chosen = [match["name"] + "=" + match["version"] for match in _INSTALL.finditer(simulated.text)]
        shown = await run(["apt-cache", "show", "--", *chosen], environment=self.environment)
        return tuple(sorted({deb.name: deb for deb in _records(shown.text)}.values(), key=lambda deb: deb.name))

    async def _unsolvable(self, request: DebianRequest, printed: str) -> PackageInvalid:
        names = (await run(["apt-cache", "pkgnames"], environment=self.environment)).text.splitlines()
        versions: list[str] = []
        if (name := version_not_found(printed)) and _NAME.fullmatch(name):
            table = await run(["apt-cache", "madison", "--", name], environment=self.environment, check=False)
            versions = [line.split("|")[1].strip() for line in table.text.splitlines() if line.count("|") >= 2]
        return unsolvable(request, printed, names=names, versions=list(dict.fromkeys(versions)))


def _mirror_of(suite: str, mirrors: Sequence[Mirror]) -> Mirror:
    # Where no source names the suite, the mirrors of the other suites have it too.
    candidates = [mirror for mirror in mirrors if mirror.serves(suite)] or [
        mirror for mirror in mirrors[:1] if not suite.endswith(("-security", "-updates"))
    ]
    if not candidates:
        raise MirrorsUnknown((f"the sources of this machine, for the suite {suite}",))
    return candidates[0]


def _sources(chosen: Mapping[str, Mirror], architecture: str) -> Iterable[str]:
    for suite, mirror in chosen.items():
        key = f" signed-by={mirror.signed_by}" if mirror.signed_by else ""
        yield f"deb [arch={architecture}{key}] {mirror.url} {suite} main\n"


def _records(text: str) -> Iterable[LockedDeb]:
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", stanza, re.MULTILINE))
        if "Filename" in fields:
            yield LockedDeb(
                fields["Package"],
                fields["Version"],
                fields["Architecture"],
                fields["Filename"],
                int(fields["Size"]),
                fields["SHA256"],
            )
