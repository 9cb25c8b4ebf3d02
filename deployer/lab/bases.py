"""Bases: Debian trees that hosts are overlays of, built once by mmdebstrap and kept in a cache.

A base is named by what is in it, is built under a temporary name and renamed when whole, so a killed run leaves no half a base
behind that another would use.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.errors import ConfigurationError
from deployer.lab.emulator import emulated
from deployer.lab.errors import BaseFailed, DebianArchiveUnknown, NotDebian
from deployer.lab.places import BASES
from deployer.process import ProgramFailed, ProgramMissing, run

RELEASES: Final = ("bookworm", "bullseye", "trixie")
FULL: Final = "full"
"""With the whole of python3: what hosts need."""
MINIMAL_PYTHON: Final = "minimal-python"
"""With python3-minimal only, which lacks most of the standard library."""
NO_PYTHON: Final = "no-python"
WITH_NIX: Final = "nix"
"""With the whole of python3, and a real Nix."""
WEB: Final = "web"
"""With the whole of python3, and what a web server has: its services run when it boots, as Debian starts them."""
CONTAINERS: Final = "containers"
"""With the whole of python3, and a podman that works on the disks and in the kernel of the lab."""
WITH_KERNEL: Final = "kernel"
"""With the whole of python3, and what a virtual machine boots with."""
WITH_SELINUX: Final = "selinux"
"""With a kernel too, and Debian's policy for SELinux, which such a machine may boot with."""
VARIANTS: Final = (FULL, MINIMAL_PYTHON, NO_PYTHON, WITH_NIX, WEB, CONTAINERS, WITH_KERNEL, WITH_SELINUX)

_COMMON: Final = "systemd systemd-sysv dbus openssh-server iproute2 procps ca-certificates curl sudo nftables"
_SERVICES: Final = "nginx-light haproxy certbot postgresql redis-server prometheus-node-exporter restic logrotate tzdata"
_PODMAN: Final = "podman crun busybox-static"
_CLOUD_KERNEL: Final = "linux-image-cloud"
_PLAIN: Final = "amd64"
_KERNEL: Final = f"{_CLOUD_KERNEL} initramfs-tools zstd udev bubblewrap"
_OWN: Final = {
    FULL: "python3",
    MINIMAL_PYTHON: "python3-minimal",
    NO_PYTHON: "",
    WITH_NIX: "python3 nix-bin",
    WEB: f"python3 {_SERVICES}",
    CONTAINERS: f"python3 {_PODMAN}",
    WITH_KERNEL: f"python3 {_KERNEL}",
    WITH_SELINUX: f"python3 {_KERNEL} selinux-policy-default policycoreutils",
}
_STORAGE: Final = """\
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
"""
_RECIPE: Final = 1
"""Counted up when `_finish` changes what it leaves in a tree."""
_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_BUILD_SECONDS: Final = 1800.0


class BaseUnknown(ConfigurationError):
    """A release or variant that the lab does not build."""

    wanted: str
    known: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which."""
        return f"the lab has no base '{self.wanted}'"

    @property
    def remedy(self) -> str:
        """Those it has."""
        return f"Choose one of: {', '.join(self.known)}."


@dataclass(frozen=True, slots=True)
class Base:
    """A Debian release in one of the variants."""

    release: str = "bookworm"
    variant: str = FULL
    architecture: str = ""
    """As Debian names it; empty: this machine's. One of another takes minutes to build, by qemu-user-static."""

    def __post_init__(self) -> None:
        """Refuse what the lab does not build."""
        for wanted, known in ((self.release, RELEASES), (self.variant, VARIANTS)):
            if wanted not in known:
                raise BaseUnknown(wanted, known)

    @property
    def packages(self) -> tuple[str, ...]:
        """What is installed besides the essential packages."""
        packages = (*_COMMON.split(), *_OWN[self.variant].split())
        kernel = f"{_CLOUD_KERNEL}-{self.architecture or _PLAIN}"
        return tuple(kernel if package == _CLOUD_KERNEL else package for package in packages)

    @property
    def path(self) -> Path:
        """Where the tree is, once built. Its name changes with its contents."""
        digest = hashlib.sha256(repr((_RECIPE, self.packages)).encode()).hexdigest()[:8]
        name = "-".join(part for part in (self.release, self.variant, self.architecture, digest) if part)
        return BASES / name


async def ensure_base(base: Base, on_build: Callable[[Base], None] = lambda base: None) -> Path:
    """The tree of a base, built first where it is not in the cache; `on_build` is told when it must be.

    Raises `NotDebian`, `DebianArchiveUnknown` and `BaseFailed`.
    """
    if base.path.is_dir():
        return base.path
    BASES.mkdir(parents=True, exist_ok=True)
    async with _lock(base.path.with_suffix(".lock")):
        if not base.path.is_dir():
            on_build(base)
            await _build(base)
    return base.path


async def _build(base: Base) -> None:
    half = base.path.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    archive = await _archive(base.release)
    options = [f"--aptopt={line}" for line in await _apt_transport()]
    if _KEYRING.exists():
        options.append(f"--keyring={_KEYRING}")
    if base.architecture:
        options += [f"--architectures={base.architecture}", "--skip=check/qemu"]
    include = "--include=" + ",".join(base.packages)
    command: list[str | Path] = ["mmdebstrap", "--mode=root", "--variant=minbase", include, *options, base.release, half]
    try:
        async with emulated(base.architecture) if base.architecture else contextlib.nullcontext():
            await run([*command, f"deb {archive} {base.release} main"], timeout=_BUILD_SECONDS)
    except ProgramFailed as failure:
        shutil.rmtree(half, ignore_errors=True)
        raise BaseFailed(base.path.name, " | ".join(failure.stderr.strip().splitlines()[-3:])) from None
    _finish(half)
    half.rename(base.path)


def _finish(tree: Path) -> None:
    """Take out what must differ from host to host, and what would reach outside the lab."""
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (tree / "etc/machine-id").write_text("")
    (tree / "etc/resolv.conf").write_text("")
    for timer in ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"):
        (tree / "etc/systemd/system/timers.target.wants" / timer).unlink(missing_ok=True)
    if (tree / "usr/bin/podman").exists():
        # A host's disk is an overlay already, on which there is no other; and systemd-nspawn lets nobody have kernel keyrings.
        (tree / "etc/containers/storage.conf").write_text(_STORAGE)
        (tree / "etc/containers/containers.conf").write_text("[containers]\nkeyring = false\n")


async def _archive(release: str) -> str:
    """The URI of the main Debian archive, as this machine's own apt knows it."""
    try:
        listing = await run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"])
    except ProgramMissing:
        raise NotDebian(_system()) from None
    sources = [line.split(" ", 1) for line in listing.text.splitlines() if " " in line]
    for suite, uri in sources:
        if "-" not in suite and "/" not in suite and "security" not in uri:
            return uri.strip()
    raise DebianArchiveUnknown(release)


async def _apt_transport() -> list[str]:
    """The machine's own proxies and certificates, which mmdebstrap does not take over by itself."""
    dump = await run(["apt-config", "dump", "Acquire"], check=False)
    wanted = ("Acquire::http", "Acquire::Retries", "Acquire::Check-")
    return [line for line in dump.text.splitlines() if line.startswith(wanted) and not line.endswith(' "";')]


def _system() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip('"')
    return "of an unknown kind"


@contextlib.asynccontextmanager
async def _lock(path: Path) -> AsyncIterator[None]:
    """Hold a lock between processes; wait as long as it takes another to build a base."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
