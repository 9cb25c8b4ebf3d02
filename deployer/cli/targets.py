"""What hosts are to have, by their configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deployer.cli.project import Project
from deployer.formats.messages import Plan
from deployer.inventory import Host
from deployer.rollout.live import Target


def targets_of_configurations(
    project: Project, hosts: Sequence[Host], expected: Mapping[str, Plan] | None = None, *, repair: bool = False
) -> dict[str, Target]:
    """Evaluate, and say for each host what it is to have. `expected` are plans that must still hold."""
    return {
        name: Target(
            system=str(system.output),
            manifest=system.manifest.to_bytes(),
            timing=system.manifest.timing,
            repair=repair,
            expected=(expected or {}).get(name),
        )
        for name, system in project.systems(hosts).items()
    }
