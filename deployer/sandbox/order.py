"""From an order to what the sandbox is made of, on the machine that the build runs on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Dict

from deployer.formats.building import BuildOrder
from deployer.sandbox.spec import SandboxSpec


def lay_out(order: BuildOrder, physical: Callable[[str], Path], scratch: Path) -> SandboxSpec:
    """Make the directories of a build in `scratch`, with the files that it finds. `physical`: where a store path lies here."""
    spec = SandboxSpec(
        builder=order.builder,
        arguments=order.arguments,
        environment={**order.environment, **{name: os.environ.get(name, "") for name in order.inherited}},
        store_directory=order.store_directory,
        scratch_store=scratch / "store",
        build_directory=build_directory(scratch),
        inputs={path: physical(path) for path in order.inputs},
        toolchain=physical(order.toolchain) if order.toolchain else None,
        network=order.network,
        kvm=order.kvm,
    )
    for directory, mode in ((spec.scratch_store, 0o1775), (spec.build_directory, 0o700)):
        directory.mkdir()
        directory.chmod(mode)
    for name, text in order.files.items():
        (spec.build_directory / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return spec


def build_directory(scratch: Path) -> Path:
    """What the script sees as /build."""
    return scratch / "build"


def made_by(order: BuildOrder, scratch: Path) -> Dict[str, Path]:
    """Where each output stands afterwards, if the script made it."""
    return {name: scratch / "store" / os.path.basename(path) for name, path in order.outputs.items()}
