"""The store of a real Nix, through `nix-store`: what it lacks, what is taken from it and given to it, and what it builds."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from deployer.build.errors import BuildFailed, BuildTimedOut
from deployer.build.settings import BuildSettings
from deployer.process import ProgramFailed, follow, run

WRONG_HASH: Final = 102
DIFFERS: Final = 104
_TIMED_OUT: Final = 101
"""nix-store(1), exit statuses."""
_PROGRAM: Final = "nix-store"
_AT_ONCE: Final = 500
"""Paths on one command line."""
_TAIL: Final = 25
_LONGEST: Final = 24 * 3600.0
"""Seconds for Nix to end, whatever its farm lets a build wait for. The build's own limit is Nix's to hold."""
_SENDING: Final = 3600.0
"""Seconds for paths to be copied."""


@dataclass(frozen=True, slots=True)
class Realisation:
    """How a build ended."""

    status: int
    tail: tuple[str, ...]
    """The last lines that were printed."""

    def demand_success(self, derivation: str, settings: BuildSettings) -> None:
        """Raises `BuildTimedOut` or `BuildFailed` where it ended badly."""
        if self.status == _TIMED_OUT:
            raise BuildTimedOut(derivation, settings.timeout, silent=any("silence" in line for line in self.tail))
        if self.status:
            raise BuildFailed(derivation, self.status, self.tail)


class NixStore:
    """The machine's Nix, or another store that it can name. All raise `ProgramMissing`, `ProgramFailed`, `ProgramTimedOut`."""

    def __init__(self, store_url: str = "") -> None:
        """`store_url` is for Nix's `NIX_REMOTE`."""
        self._environment = {**os.environ, **({"NIX_REMOTE": store_url} if store_url else {})}

    async def invalid(self, paths: Iterable[str]) -> list[str]:
        """Those that it lacks."""
        wanted, missing = sorted(set(paths)), list[str]()
        for at in range(0, len(wanted), _AT_ONCE):
            command = (_PROGRAM, "--check-validity", "--print-invalid", *wanted[at : at + _AT_ONCE])
            missing += (await run(command, environment=self._environment)).text.split()
        return missing

    async def requisites(self, path: str) -> list[str]:
        """A path with all that it refers to."""
        return (await run((_PROGRAM, "--query", "--requisites", path), environment=self._environment)).text.split()

    async def add(self, stream: BinaryIO) -> None:
        """Take paths as `deployer.store.exporting` writes them."""
        await self._follow(("--import",), stdin=stream)

    async def write(self, paths: Sequence[str], stream: BinaryIO) -> None:
        """Write paths, as `deployer.store.exporting` reads them."""
        await self._follow(("--export", *paths), stdout=stream)

    async def realise(
        self, what: str, root: Path, settings: BuildSettings, on_line: Callable[[str], None], *options: str
    ) -> Realisation:
        """Have a derivation's outputs, or a path, built or fetched. `root`: where a link keeps them from Nix's collector."""
        tail = deque[str](maxlen=_TAIL)

        def tell(line: str) -> None:
            tail.append(line)
            on_line(line)

        command = [
            "--realise",
            what,
            *("--add-root", str(root), "--indirect"),
            *("--timeout", f"{settings.timeout:.0f}", "--max-silent-time", f"{settings.silence_timeout:.0f}"),
            *("--cores", str(settings.cores), "--option", "max-build-log-size", str(settings.log_limit)),
            *(("--keep-failed",) if settings.keep_failed else ()),
            *options,
        ]
        status = await follow((_PROGRAM, *command), on_line=tell, timeout=_LONGEST, environment=self._environment)
        return Realisation(status, tuple(tail))

    async def _follow(self, arguments: Sequence[str], *, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None) -> None:
        said: list[str] = []
        command = (_PROGRAM, *arguments)
        status = await follow(
            command, stdin=stdin, stdout=stdout, on_line=said.append, timeout=_SENDING, environment=self._environment
        )
        if status:
            raise ProgramFailed(command, status, "\n".join(said))
