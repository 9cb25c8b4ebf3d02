"""What is known of a system without its derivation: enough to compare hosts with it, and to plan."""

from __future__ import annotations

from dataclasses import dataclass

from deployer.formats import StorePath
from deployer.formats.manifest import Check, Manifest, Timing
from deployer.generation.system import System


@dataclass(frozen=True, slots=True)
class Outline:
    """A system, as far as a host is told of it before it is built."""

    output: StorePath
    manifest: bytes
    timing: Timing
    warnings: tuple[str, ...] = ()
    controller_checks: tuple[Check, ...] = ()

    @classmethod
    def of(cls, system: System) -> Outline:
        """That of a system."""
        timing = system.manifest.timing
        return cls(system.output, system.document, timing, system.warnings, system.controller_checks)

    def aside(self) -> bytes:
        """What stands beside the manifest, as a text that `parse` reads."""
        return Manifest(timing=self.timing, checks=self.controller_checks).to_bytes()

    @classmethod
    def parse(cls, output: StorePath, manifest: bytes, aside: bytes, warnings: tuple[str, ...]) -> Outline:
        """From its parts. Raises `ManifestRefused` or `FrameRefused`."""
        beside = Manifest.from_bytes(aside)
        return cls(output, manifest, beside.timing, warnings, beside.checks)
