"""One build script of a derivation, run in the sandbox: what it is given, and where what it made stands."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from deployer.build.engine import OnLine
from deployer.build.environment import Machine, Start, start_of
from deployer.build.errors import AttributeRefused
from deployer.build.graph import Node
from deployer.build.logs import LogWriter
from deployer.build.reference_graphs import reference_graphs
from deployer.build.sandbox import SandboxSpec
from deployer.build.sandboxed import RunLimits, run_in_sandbox
from deployer.build.settings import BuildSettings
from deployer.formats import StorePath
from deployer.store import Store


@dataclass(frozen=True, slots=True)
class Script:
    """A derivation whose builder is a program, in a scratch directory of its own."""

    store: Store
    node: Node
    inputs: Collection[StorePath]
    """The closure that it sees."""
    scratch: Path
    settings: BuildSettings
    log: LogWriter
    """What it prints."""

    @property
    def build_directory(self) -> Path:
        """What the script sees as /build."""
        return self.scratch / "build"

    @property
    def made(self) -> dict[str, Path]:
        """Where the outputs stand afterwards, if the script made them."""
        return {name: self.scratch / "store" / path.base_name for name, path in self.node.outputs.items()}

    def prepare(self) -> SandboxSpec:
        """Write what the script finds in its build directory."""
        derivation, store = self.node.derivation, self.store
        start = self._start()
        spec = SandboxSpec(
            builder=derivation.builder,
            arguments=start.arguments,
            environment=start.environment,
            store_directory=store.store_dir,
            scratch_store=self.scratch / "store",
            build_directory=self.build_directory,
            inputs={str(path): store.physical(path) for path in self.inputs},
            toolchain=self._toolchain(),
            network=derivation.is_fixed,
            kvm="kvm" in self.node.required_features,
        )
        for directory, mode in ((spec.scratch_store, 0o1775), (spec.build_directory, 0o700)):
            directory.mkdir()
            directory.chmod(mode)
        for name, content in start.files.items():
            (spec.build_directory / name).write_bytes(content)
        return spec

    async def run(self, spec: SandboxSpec, on_line: OnLine) -> None:
        """Run it to its end."""
        settings = self.settings
        limits = RunLimits(settings.timeout, settings.silence_timeout, settings.log_limit)
        await run_in_sandbox(spec, derivation=str(self.node.path), log=self.log, limits=limits, on_line=on_line)

    def _toolchain(self) -> Path | None:
        path = self.node.derivation.environment.get("toolchain", "")
        if path not in {str(known) for known in self.inputs}:
            return None
        physical = self.store.physical(path)
        if physical.is_symlink() or not physical.is_dir():
            # A link would be followed out of the store, to this machine's own root.
            raise AttributeRefused(str(self.node.path), "toolchain", f"names {path}, which is not a directory")
        return physical

    def _start(self) -> Start:
        graphs = reference_graphs(self.store, self.node, self.inputs)
        outputs = {name: str(path) for name, path in self.node.outputs.items()}
        machine = Machine(self.store.store_dir, self.settings.cores, os.environ)
        return start_of(self.node.attributes, outputs, graphs, machine)
