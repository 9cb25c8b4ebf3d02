"""What one build may see and run, whatever makes its sandbox.

That is its input closure and nothing else of the store; the root tree of its toolchain, where it has one; an empty `/build` and
`/tmp`; a minimal `/dev`, a fresh `/proc`; no network, no other processes, no other users. All else is read-only or not there. It
works as root and as an ordinary user alike: in both cases everything runs in a new user namespace as 1000:100. A fixed output has
this machine's network, and the files that name its servers.
"""

from __future__ import annotations

import functools
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Iterable, Mapping, Optional, Tuple

BUILD_DIRECTORY: Final = "/build"
BUILD_UID: Final = 1000
BUILD_GID: Final = 100
_PASSWD: Final = (
    "root:x:0:0:Nix build user:/build:/noshell\n"
    f"nixbld:x:{BUILD_UID}:{BUILD_GID}:Nix build user:/build:/noshell\n"
    "nobody:x:65534:65534:Nobody:/:/noshell\n"
)
_GROUP: Final = f"root:x:0:\nnixbld:!:{BUILD_GID}:\nnogroup:x:65534:\n"
_HOSTS: Final = "127.0.0.1 localhost\n::1 localhost\n"
ETC_FILES: Final[Mapping[str, str]] = {"passwd": _PASSWD, "group": _GROUP, "hosts": _HOSTS}
NETWORK_ETC_FILES: Final[Mapping[str, str]] = {
    "passwd": _PASSWD,
    "group": _GROUP,
    "nsswitch.conf": "hosts: files dns\nservices: files\n",
}
_NETWORK_FILES: Final = ("/etc/resolv.conf", "/etc/services", "/etc/hosts")
_CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
KVM: Final = "/dev/kvm"
_DANGEROUS_IN_PROC: Final = ("sys", "irq", "bus", "fs", "acpi", "asound", "driver", "scsi", "mtrr")
_OWN_DIRECTORIES: Final = frozenset(
    {"build", "dev", "etc", "nix", "proc", "tmp", "sys", "run", "home", "root", "mnt", "media", "srv"}
)


@dataclass(frozen=True)
class SandboxSpec:
    """All that one build may see and run."""

    builder: str
    arguments: Tuple[str, ...]
    environment: Mapping[str, str]
    store_directory: str
    """Logical: `/nix/store`."""
    scratch_store: Path
    """A directory of ours that is mounted at the store directory; the outputs appear in it."""
    build_directory: Path
    """A directory of ours that is mounted at `/build`."""
    inputs: Mapping[str, Path] = field(default_factory=dict)
    """Store path → where it really is."""
    toolchain: Optional[Path] = None
    """The real place of a root tree whose top directories become those of the sandbox."""
    network: bool = False
    """Whether it may reach the network: only a build whose output's hash is known."""
    kvm: bool = False
    """Whether it may start virtual machines."""

    @property
    def etc_files(self) -> Mapping[str, str]:
        """What stands in its /etc."""
        return NETWORK_ETC_FILES if self.network else ETC_FILES


@functools.cache
def covered() -> Tuple[str, ...]:
    """What of /proc is made read-only.

    Where root builds, its files in /proc would be the build's to write, and with them the machine: core_pattern runs programs.
    Bubblewrap covers such directories only where they themselves may be written to. Covered, a new /proc can't be had either.
    Only those that hold something for root to write are named: each mount costs every build something.
    """
    if os.geteuid() != 0:
        return ()
    return tuple(name for name in _DANGEROUS_IN_PROC if _has_writable(f"/proc/{name}"))


def _has_writable(path: str) -> bool:
    if os.path.isfile(path):
        return bool(os.stat(path).st_mode & stat.S_IWUSR)
    files = (os.path.join(directory, name) for directory, _, names in os.walk(path) for name in names)
    return any(os.lstat(file).st_mode & stat.S_IWUSR for file in files if os.path.lexists(file))


def network_files(spec: SandboxSpec) -> Iterable[Tuple[str, str]]:
    """This machine's way to names and to trust, where it has them: each file, and where it is shown."""
    for file in _NETWORK_FILES:
        if os.path.exists(file):
            yield os.path.realpath(file), file
    # Ours, never the derivation's: that could name any file of this machine.
    certificates = os.environ.get("NIX_SSL_CERT_FILE") or os.environ.get("SSL_CERT_FILE") or _CERTIFICATES
    if os.path.isfile(certificates) and not (spec.toolchain and (spec.toolchain / "etc/ssl").exists()):
        yield os.path.realpath(certificates), _CERTIFICATES


def root_tree(tree: Path, spec: SandboxSpec) -> Iterable[Tuple[str, str, Optional[str]]]:
    """The top of a toolchain's tree, and the entries of its /etc that are not ours: each, where it is shown, a link's target."""
    for entry in sorted(os.scandir(tree), key=lambda entry: entry.name):
        if entry.name not in _OWN_DIRECTORIES:
            yield entry.path, f"/{entry.name}", _target(entry)
    etc = tree / "etc"
    if etc.is_dir() and not etc.is_symlink():
        for entry in sorted(os.scandir(etc), key=lambda entry: entry.name):
            if entry.name not in spec.etc_files and not (spec.network and f"/etc/{entry.name}" in _NETWORK_FILES):
                yield entry.path, f"/etc/{entry.name}", _target(entry)


def _target(entry: os.DirEntry[str]) -> Optional[str]:
    return os.readlink(entry.path) if entry.is_symlink() else None
