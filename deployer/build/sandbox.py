"""The sandbox of a build, as the arguments of bubblewrap: a pure function from what a build may see.

What a build sees: its input closure and nothing else of the store; the root tree of its toolchain, where it has one; an empty
`/build` and `/tmp`; a minimal `/dev`, a fresh `/proc`; no network, no other processes, no other users. All else is read-only or
not there. It works as root and as an ordinary user alike: in both cases everything runs in a new user namespace as 1000:100.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BUILD_UID: Final = 1000
BUILD_GID: Final = 100
BUILD_DIRECTORY: Final = "/build"
_PASSWD: Final = (
    "root:x:0:0:Nix build user:/build:/noshell\n"
    f"nixbld:x:{BUILD_UID}:{BUILD_GID}:Nix build user:/build:/noshell\n"
    "nobody:x:65534:65534:Nobody:/:/noshell\n"
)
_GROUP: Final = f"root:x:0:\nnixbld:!:{BUILD_GID}:\nnogroup:x:65534:\n"
_HOSTS: Final = "127.0.0.1 localhost\n::1 localhost\n"
ETC_FILES: Final[Mapping[str, str]] = {"passwd": _PASSWD, "group": _GROUP, "hosts": _HOSTS}
_OWN_DIRECTORIES: Final = frozenset(
    {"build", "dev", "etc", "nix", "proc", "tmp", "sys", "run", "home", "root", "mnt", "media", "srv"}
)


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """All that one build may see and run."""

    builder: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    store_directory: str
    """Logical: `/nix/store`."""
    scratch_store: Path
    """A directory of ours that is mounted at the store directory; the outputs appear in it."""
    build_directory: Path
    """A directory of ours that is mounted at `/build`."""
    etc_directory: Path
    """A directory of ours with `ETC_FILES`."""
    inputs: Mapping[str, Path] = field(default_factory=dict)
    """Store path → where it really is."""
    toolchain: Path | None = None
    """The real place of a root tree whose top directories become those of the sandbox."""


def bubblewrap_options(spec: SandboxSpec, *, seccomp_descriptor: int | None = None) -> list[str]:
    """The options of bubblewrap, which go in by `--args` (a closure may be longer than a command line)."""
    options = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--uid", str(BUILD_UID), "--gid", str(BUILD_GID), "--hostname", "localhost"]
    if seccomp_descriptor is not None:
        options += ["--seccomp", str(seccomp_descriptor)]
    for directory in ("/etc", os.path.dirname(spec.store_directory)):
        options += ["--perms", "0755", "--dir", directory]
    if spec.toolchain is not None:
        options += _root_tree(spec.toolchain)
    options += ["--bind", str(spec.scratch_store), spec.store_directory]
    for path, physical in sorted(spec.inputs.items()):
        if physical.is_symlink():
            options += ["--symlink", os.readlink(physical), path]
        else:
            options += ["--ro-bind", str(physical), path]
    for name in ETC_FILES:
        options += ["--ro-bind", str(spec.etc_directory / name), f"/etc/{name}"]
    options += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp"]
    options += ["--bind", str(spec.build_directory), BUILD_DIRECTORY, "--chdir", BUILD_DIRECTORY]
    options += ["--clearenv"]
    for name, value in sorted(spec.environment.items()):
        options += ["--setenv", name, value]
    return [*options, "--remount-ro", "/"]


def build_environment(derivation: Mapping[str, str], *, store_directory: str, cores: int) -> dict[str, str]:
    """A derivation's environment as Nix completes it."""
    return {
        "PATH": "/path-not-set",
        "HOME": "/homeless-shelter",
        "NIX_STORE": store_directory,
        "NIX_BUILD_CORES": str(cores),
        **derivation,
        **dict.fromkeys(("NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP", "PWD"), BUILD_DIRECTORY),
        "NIX_LOG_FD": "2",
        "TERM": "xterm-256color",
    }


def _root_tree(tree: Path) -> Iterable[str]:
    """Mounts for the top of a toolchain's tree, and for the entries of its /etc that are not ours."""
    for entry in sorted(os.scandir(tree), key=lambda entry: entry.name):
        if entry.name not in _OWN_DIRECTORIES:
            yield from _mount(entry, f"/{entry.name}")
    etc = tree / "etc"
    if etc.is_dir() and not etc.is_symlink():
        for entry in sorted(os.scandir(etc), key=lambda entry: entry.name):
            if entry.name not in ETC_FILES:
                yield from _mount(entry, f"/etc/{entry.name}")


def _mount(entry: os.DirEntry[str], destination: str) -> tuple[str, str, str]:
    if stat.S_ISLNK(entry.stat(follow_symlinks=False).st_mode):
        return "--symlink", os.readlink(entry.path), destination
    return "--ro-bind", entry.path, destination
