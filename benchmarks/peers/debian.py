"""apt and pip as peers: fresh roots of Debian in which programs are installed, and one library is updated.

The base is made as Debian makes its own image for containers: the essential packages and apt, without documentation and
translations, and without the packages that only turn an old system into one with a merged /usr.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.programs import SECURITY, SUITE
from deployer.packages.mirrors import find_mirrors, mirrors_of

_SECONDS: Final = 900.0
_LEFT_OUT: Final = ("man", "doc", "locale", "info", "lintian")
_NO_CONVERSION: Final = "Package: usrmerge\nPin: release *\nPin-Priority: -1\n"
_NO_SERVICES: Final = "#!/bin/sh\nexit 101\n"
_ENVIRONMENT: Final = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
INSTALL: Final = ("apt-get", "install", "--quiet", "--yes", "--no-install-recommends")
ENVIRONMENT: Final = "/opt/application"
"""Where pip installs."""


class DebianFailed(Exception):
    """A program of a peer's failed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step took."""

    wire: int
    """Bytes that had to be fetched."""
    disk: int
    """Bytes by which what is on the disk grew."""
    seconds: float
    index: int = 0
    """Bytes of the lists of packages that apt fetched before."""


@dataclass(frozen=True, slots=True)
class Debian:
    """What fresh roots are made of: one base, and what apt is to believe before and after the library's update."""

    directory: Path
    library: str

    @property
    def base(self) -> Path:
        """The base, as a tar."""
        return self.directory / "base.tar"

    @property
    def wheels(self) -> Path:
        """A directory with the wheels, and with `requirements.txt`."""
        return self.directory / "wheels"

    def settings(self, *, updated: bool) -> tuple[Path, Path]:
        """What stands for `sources.list.d` and `preferences.d`."""
        state = self.directory / ("after" if updated else "before")
        return state / "sources", state / "preferences"

    def prepare(self, requirements: str) -> None:
        """Make the base and fetch the wheels. Raises `DebianFailed`."""
        for updated in (False, True):
            for place in self.settings(updated=updated):
                place.mkdir(parents=True)
        sources, preferences = self.settings(updated=True)
        # The index has other updates too, which the measured one does not bring along.
        pins = ("Package: *", f"Pin: release n={SECURITY}", "Pin-Priority: -1")
        wanted = (f"Package: {self.library}", f"Pin: release n={SECURITY}", "Pin-Priority: 990")
        (sources / "security.list").write_text(_source(SECURITY), encoding="utf-8")
        (preferences / "bench").write_text("\n".join([*pins, "", *wanted, ""]), encoding="utf-8")
        self._make_base()
        self.wheels.mkdir()
        listed = self.wheels / "requirements.txt"
        listed.write_text(requirements, encoding="utf-8")
        platform = ("--only-binary=:all:", "--python-version=3.11", "--platform=manylinux_2_17_x86_64")
        checked = ("--no-deps", "--require-hashes", f"--dest={self.wheels}", "-r", str(listed))
        run([sys.executable, "-m", "pip", "download", "--quiet", *platform, *checked])

    def _make_base(self) -> None:
        unwanted = self.directory / "usrmerge"
        unwanted.write_text(_NO_CONVERSION, encoding="utf-8")
        hooks = (
            "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
            f'--setup-hook=mkdir -p "$1/etc/apt/preferences.d" && cp {unwanted} "$1/etc/apt/preferences.d/"',
            '--customize-hook=rm "$1/etc/apt/preferences.d/usrmerge"',
        )
        slim = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT]
        transport = [f"--aptopt={line}" for line in _transport()]
        arguments = ("--mode=root", "--variant=minbase", "--quiet", *hooks, *slim, *transport, SUITE)
        run(["mmdebstrap", *arguments, str(self.base), _source(SUITE)])

    @contextmanager
    def root(self, name: str) -> Iterator[Root]:
        """A fresh root, gone afterwards."""
        place = self.directory / f"root-{name}"
        place.mkdir()
        try:
            run(["tar", "-xf", str(self.base), "-C", str(place)])
            shutil.copy("/etc/resolv.conf", place / "etc/resolv.conf")
            (place / "etc/apt/apt.conf.d/90bench").write_text("\n".join(_transport()) + "\n", encoding="utf-8")
            policy = place / "usr/sbin/policy-rc.d"
            policy.write_text(_NO_SERVICES, encoding="utf-8")
            policy.chmod(0o755)
            yield Root(place, self)
        finally:
            shutil.rmtree(place, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Root:
    """One root, without a system that runs in it."""

    place: Path
    debian: Debian

    def install(self, packages: Sequence[str], *, wheels: bool) -> Cost:
        """Install Debian packages, and wheels into an environment. What is fetched is there before the time begins."""
        cost = self._apt([*INSTALL, *packages])
        if not wheels:
            return cost
        fetched = sum(wheel.stat().st_size for wheel in self.debian.wheels.glob("*.whl"))
        shutil.copytree(self.debian.wheels, self.place / "wheels")
        piped = self._measured(lambda: self.run("sh", "-ec", PIP))
        return Cost(cost.wire + fetched, cost.disk + piped.disk, cost.seconds + piped.seconds, cost.index)

    def update(self) -> Cost:
        """Update the library, when the security suite has it."""
        for place, name in zip(self.debian.settings(updated=True), ("sources.list.d", "preferences.d"), strict=True):
            shutil.copytree(place, self.place / "etc/apt" / name, dirs_exist_ok=True)
        return self._apt([*INSTALL, "--only-upgrade", self.debian.library])

    def _apt(self, install: Sequence[str]) -> Cost:
        index = _fetched(self.run("apt-get", "update", "--quiet"))
        self.run(*install, "--download-only")
        wire = sum(file.stat().st_size for file in (self.place / "var/cache/apt/archives").glob("*.deb"))
        if not wire:
            raise DebianFailed(f"apt has nothing new of {' '.join(install[len(INSTALL) :])}")
        cost = self._measured(lambda: self.run(*install))
        return Cost(wire, cost.disk, cost.seconds, index)

    def _measured(self, work: Callable[[], object]) -> Cost:
        """The disk is taken without what apt keeps for another time."""
        before = occupied(self.place, "var/cache/apt", "var/lib/apt/lists", "wheels")
        began = time.monotonic()
        work()
        took = time.monotonic() - began
        self.run("apt-get", "clean")
        return Cost(0, occupied(self.place, "var/cache/apt", "var/lib/apt/lists", "wheels") - before, took)

    def run(self, *command: str) -> str:
        """Run a command in the root, in processes that do not outlive it. Raises `DebianFailed`."""
        around = ("unshare", "--mount", "--pid", "--fork", "--kill-child", f"--root={self.place}", "--mount-proc")
        return run([*around, "--", "/usr/bin/env", "-i", *_ENVIRONMENT, *command])


PIP: Final = (
    f"python3 -m venv {ENVIRONMENT}; {ENVIRONMENT}/bin/pip install --quiet --no-cache-dir --no-index --find-links=/wheels "
    "--require-hashes -r /wheels/requirements.txt"
)
"""What installs the wheels; `/wheels` has them."""


def occupied(directory: Path, *but: str) -> int:
    """Bytes of the disk that a directory takes, each file once however many names it has."""
    excluded = [f"--exclude={directory / name}" for name in but]
    return int(run(["du", "--summarize", "--block-size=1", *excluded, str(directory)]).split()[0])


def run(command: Sequence[str]) -> str:
    """Run a command; what it printed. Raises `DebianFailed`."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:]
        raise DebianFailed(f"{' '.join(command)[:200]} … ended with {done.returncode}:\n{said}")
    return done.stdout


def _fetched(printed: str) -> int:
    """What apt says that it has fetched, in bytes."""
    said = re.search(r"^Fetched ([\d.,]+) ([kMG]?)B ", printed, re.MULTILINE)
    return int(float(said[1].replace(",", "")) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[said[2]]) if said else 0


def _source(suite: str) -> str:
    mirror = mirrors_of(suite, find_mirrors())[0]
    key = f"[signed-by={mirror.signed_by}] " if mirror.signed_by else ""
    return f"deb {key}{mirror.url} {suite} main\n"


def _transport() -> list[str]:
    """How this machine's own apt reaches the network."""
    lines = run(["apt-config", "dump", "Acquire"]).splitlines()
    wanted = ("Acquire::http", "Acquire::Retries", "Acquire::Check-")
    return [line for line in lines if line.startswith(wanted) and not line.endswith(' "";')]
