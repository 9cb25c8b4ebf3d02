"""From a derivation to the order that a sandbox takes, on this machine or on another."""

from __future__ import annotations

from collections.abc import Collection

from deployer.build.environment import Machine, start_of
from deployer.build.errors import AttributeRefused
from deployer.build.graph import Node
from deployer.build.reference_graphs import reference_graphs
from deployer.build.settings import BuildSettings
from deployer.formats import StorePath
from deployer.formats.building import BuildOrder
from deployer.store import Store


def order_of(store: Store, node: Node, inputs: Collection[StorePath], settings: BuildSettings, *, cores: int) -> BuildOrder:
    """All that the script of a derivation starts with. `inputs`: the closure that it sees. Raises `AttributeRefused`."""
    outputs = {name: str(path) for name, path in node.outputs.items()}
    graphs = reference_graphs(store, node, inputs)
    start = start_of(node.attributes, outputs, graphs, Machine(store.store_dir, cores))
    return BuildOrder(
        derivation=str(node.path),
        builder=node.derivation.builder,
        arguments=start.arguments,
        environment=start.environment,
        store_directory=store.store_dir,
        inputs=tuple(map(str, inputs)),
        outputs=outputs,
        inherited=start.inherited,
        files={name: content.decode("utf-8", "surrogateescape") for name, content in start.files.items()},
        toolchain=_toolchain(store, node, inputs),
        network=node.derivation.is_fixed,
        kvm="kvm" in node.required_features,
        timeout=settings.timeout,
        silence_timeout=settings.silence_timeout,
        log_limit=settings.log_limit,
        keep_failed=settings.keep_failed,
    )


def _toolchain(store: Store, node: Node, inputs: Collection[StorePath]) -> str:
    path = node.derivation.environment.get("toolchain", "")
    if path not in {str(known) for known in inputs}:
        return ""
    physical = store.physical(path)
    if physical.is_symlink() or not physical.is_dir():
        # A link would be followed out of the store, to the machine's own root.
        raise AttributeRefused(str(node.path), "toolchain", f"names {path}, which is not a directory")
    return path
