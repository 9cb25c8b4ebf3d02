"""apt in a state of its own, which leaves the machine alone: private lists of the suites that are asked for, verified.

apt is given private lists, an empty list of installed packages and only the sources that are asked for; of the machine's
configuration it keeps how to reach the network (`Acquire::…`), and never what would let an unsigned index through.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.packages.debian.signatures import read_indexes, refusal, trusted_keyrings
from deployer.packages.lockfile import LockedIndex
from deployer.packages.mirrors import Mirror
from deployer.packages.recipes import MAIN
from deployer.process import Completed, run

_UPDATE_TIMEOUT: Final = 300.0
_QUESTION_TIMEOUT: Final = 60.0
_STRICT: Final = {
    "Acquire::AllowInsecureRepositories": "false",
    "Acquire::AllowWeakRepositories": "false",
    "Acquire::AllowDowngradeToInsecureRepositories": "false",
    "Acquire::Check-Valid-Until": "true",
    "Acquire::Check-Date": "true",
    "APT::Get::AllowUnauthenticated": "false",
}
"""Whatever the machine's own settings say: what is read comes from an index that is signed and has not expired."""
CONVERTER: Final = "usrmerge"
"""Merges the /usr of a system by a script, for which it needs all of Perl. Our trees are merged from the start, and what asks for
it is content with `usr-is-merged` too, which is empty."""
_NEVER: Final = "Package: {}\nPin: release *\nPin-Priority: -1\n"
NO_PREFERENCES: Final = ("-o", f"Dir::Etc::preferencesparts={os.devnull}")
"""Options of apt's programs with which it may take what it otherwise never does."""


def has_apt() -> bool:
    """Whether this machine has it."""
    return shutil.which("apt-get") is not None


@dataclass(frozen=True, slots=True)
class Apt:
    """A state with the package lists of some suites."""

    environment: Mapping[str, str]
    indexes: tuple[LockedIndex, ...]
    """The signed index of each suite."""

    @classmethod
    async def prepare(
        cls, directory: Path, chosen: Mapping[str, Mirror], architecture: str, components: Sequence[str] = (MAIN,)
    ) -> Apt:
        """Write a private configuration into `directory` and fetch the lists of each suite from the mirror chosen for it.

        Raises `IndexRefused`, `ProgramMissing`, `ProgramTimedOut`.
        """
        for name in ("lists/partial", "cache/archives/partial", "etc/preferences.d"):
            (directory / name).mkdir(parents=True)
        (directory / "etc/preferences.d/merged").write_text(_NEVER.format(CONVERTER))
        (directory / "status").touch()
        (directory / "sources.list").write_text("".join(_sources(chosen, architecture, components)))
        reach = (await run(["apt-config", "dump"])).text
        lines = [line for line in reach.splitlines() if line.startswith("Acquire::")]
        settings = {
            "Dir::State": directory,
            "Dir::State::lists": directory / "lists",
            "Dir::State::status": directory / "status",
            "Dir::Cache": directory / "cache",
            "Dir::Etc::sourcelist": directory / "sources.list",
            "Dir::Etc::sourceparts": os.devnull,
            "Dir::Etc::main": os.devnull,
            "Dir::Etc::parts": os.devnull,
            "Dir::Etc::preferencesparts": directory / "etc/preferences.d",
            "Dir::Etc::preferences": os.devnull,
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
            raise refusal(tuple(chosen), updated.stderr.decode(errors="replace"))
        keyrings = {Path(mirror.signed_by) for mirror in chosen.values() if mirror.signed_by} or set(trusted_keyrings())
        return cls(environment, await read_indexes(directory / "lists", tuple(chosen), sorted(keyrings)))

    async def ask(self, *arguments: str, timeout: float = _QUESTION_TIMEOUT, check: bool = True) -> Completed:
        """Run a program of apt's in this state. `timeout` is in seconds. Raises what `run` raises."""
        return await run(arguments, environment=self.environment, timeout=timeout, check=check)


def _sources(chosen: Mapping[str, Mirror], architecture: str, components: Sequence[str]) -> Iterable[str]:
    for suite, mirror in chosen.items():
        key = f" signed-by={mirror.signed_by}" if mirror.signed_by else ""
        yield f"deb [arch={architecture}{key}] {mirror.url} {suite} {' '.join(components)}\n"
