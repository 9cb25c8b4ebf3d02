"""What a build sees, as a plan that the warden carries out.

A plan is of the types that `marshal` knows. Its steps are `(kind, place, given)`, in order: `directory`; `link`, given its
target; `text`, given its content; `read-only`, `writable` and `device`, given what of this machine is shown there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

from deployer.sandbox.seccomp import sandbox_filter
from deployer.sandbox.spec import BUILD_DIRECTORY, BUILD_GID, BUILD_UID, KVM, SandboxSpec, covered, network_files, root_tree

Step = Tuple[str, str, Any]


def settings() -> Dict[str, Any]:
    """What all sandboxes of this machine have in common."""
    return {"user": BUILD_UID, "group": BUILD_GID, "covered": (*covered(), *_single_files()), "filter": sandbox_filter()}


def plan_of(spec: SandboxSpec, real: Callable[[str], str]) -> Dict[str, Any]:
    """All that one build may see and run. `real`: where a directory is, without links, as `os.path.realpath` finds it."""
    return {
        "steps": (*_steps(spec, real),),
        "network": spec.network,
        "builder": spec.builder,
        "arguments": tuple(spec.arguments),
        "environment": dict(spec.environment),
        "directory": BUILD_DIRECTORY,
    }


def _steps(spec: SandboxSpec, real: Callable[[str], str]) -> Iterator[Step]:
    def shown(source: str, place: str, kind: str = "read-only") -> Step:
        # Only what leads there is followed: where the sandbox is made, links lead elsewhere.
        directory, name = os.path.split(source)
        return kind, place, os.path.join(real(directory), name)

    def ours(directory: Path, place: str) -> Step:
        kind, _, scratch = shown(str(directory.parent), place, "writable")
        return kind, place, os.path.join(scratch, directory.name)

    yield "directory", "/etc", None
    if spec.toolchain is not None:
        for source, place, target in root_tree(spec.toolchain, spec):
            yield ("link", place, target) if target is not None else shown(source, place)
    yield ours(spec.scratch_store, spec.store_directory)
    for path, physical in sorted(spec.inputs.items()):
        target = link_target(physical)
        yield ("link", path, target) if target is not None else shown(str(physical), path)
    for name, text in spec.etc_files.items():
        yield "text", f"/etc/{name}", text.encode()
    if spec.network:
        for source, place in network_files(spec):
            yield shown(source, place)
    if spec.kvm:
        yield "device", KVM, KVM
    yield ours(spec.build_directory, BUILD_DIRECTORY)


def link_target(path: Path) -> Optional[str]:
    """Where a symbolic link leads; None for all else."""
    return os.readlink(path) if path.is_symlink() else None


def _single_files() -> Tuple[str, ...]:
    """What bubblewrap covers by itself."""
    return tuple(name for name in ("sysrq-trigger",) if os.access(f"/proc/{name}", os.W_OK))
