"""The sandbox of a build, as the arguments of bubblewrap: a pure function from what a build may see."""

from __future__ import annotations

import os
from typing import Iterable, List, Mapping

from deployer.sandbox.spec import BUILD_DIRECTORY, BUILD_GID, BUILD_UID, KVM, SandboxSpec, covered, network_files, root_tree


def bubblewrap_options(spec: SandboxSpec, etc: Mapping[str, int]) -> List[str]:
    """The options of bubblewrap, which go in by `--args` (a closure may be longer than a command line).

    `etc`: descriptors from which `spec.etc_files` are read.
    """
    options = [f"--unshare-{kind}" for kind in ("user", "ipc", "pid", "uts", "cgroup-try", *(() if spec.network else ("net",)))]
    options += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--uid", str(BUILD_UID), "--gid", str(BUILD_GID), "--hostname", "localhost"]
    # First what the store may stand below: a store of tests is in /tmp.
    options += ["--proc", "/proc", *_covers(), "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp"]
    for directory in ("/etc", os.path.dirname(spec.store_directory)):
        options += ["--perms", "0755", "--dir", directory]
    if spec.toolchain is not None:
        for source, place, target in root_tree(spec.toolchain, spec):
            options += ["--ro-bind", source, place] if target is None else ["--symlink", target, place]
    options += ["--bind", str(spec.scratch_store), spec.store_directory]
    for path, physical in sorted(spec.inputs.items()):
        if physical.is_symlink():
            options += ["--symlink", os.readlink(physical), path]
        else:
            options += ["--ro-bind", str(physical), path]
    for name, descriptor in etc.items():
        options += ["--perms", "0444", "--file", str(descriptor), f"/etc/{name}"]
    if spec.network:
        for source, place in network_files(spec):
            options += ["--ro-bind", source, place]
    if spec.kvm:
        options += ["--dev-bind", KVM, KVM]
    options += ["--bind", str(spec.build_directory), BUILD_DIRECTORY, "--chdir", BUILD_DIRECTORY]
    options += ["--clearenv"]
    for name, value in sorted(spec.environment.items()):
        options += ["--setenv", name, value]
    return [*options, "--remount-ro", "/"]


def _covers() -> Iterable[str]:
    for name in covered():
        yield from ("--ro-bind", f"/proc/{name}", f"/proc/{name}")
