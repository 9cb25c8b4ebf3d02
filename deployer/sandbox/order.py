"""From an order to what the sandbox is made of, on the machine that the build runs on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Dict

from deployer.formats.building import BuildOrder
from deployer.sandbox.scratch import build_directory, clear_places, scratch_store
from deployer.sandbox.spec import SandboxSpec


def lay_out(order: BuildOrder, physical: Callable[[str], Path], scratch: Path) -> SandboxSpec:
    """Put the files that a build finds into `scratch`, which is furnished. `physical`: where a store path lies here."""
    spec = SandboxSpec(
        builder=order.builder,
        arguments=order.arguments,
        environment={**order.environment, **{name: os.environ.get(name, "") for name in order.inherited}},
        store_directory=order.store_directory,
        scratch_store=scratch_store(scratch),
        build_directory=build_directory(scratch),
        inputs={path: physical(path) for path in order.inputs},
        toolchain=physical(order.toolchain) if order.toolchain else None,
        network=order.network,
        kvm=order.kvm,
    )
    clear_places(scratch, {*map(os.path.basename, order.inputs)})
    for name, text in order.files.items():
        (spec.build_directory / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return spec


def made_by(order: BuildOrder, scratch: Path) -> Dict[str, Path]:
    """Where each output stands afterwards, if the script made it."""
    return {name: scratch_store(scratch) / os.path.basename(path) for name, path in order.outputs.items()}
