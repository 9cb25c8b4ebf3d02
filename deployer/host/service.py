"""The service that drives a transaction: losing the connection that began it does not end it."""

from __future__ import annotations

from deployer.formats.limits import Limits
from deployer.host.lost import manifest_of
from deployer.host.machine import ACTIVATION, Machine
from deployer.host.transaction import Record


def start(machine: Machine, record: Record) -> None:
    """Start it."""
    _start(machine, record)


def start_after_boot(machine: Machine, record: Record) -> None:
    """Have it start once the host has booted, and do not wait: nothing has started yet."""
    _start(machine, record, booting=True)


def _start(machine: Machine, record: Record, *, booting: bool = False) -> None:
    runtime = machine.store.runtime(record.next) or machine.store.runtime(record.previous)
    command = [*machine.interpreter, runtime, "switch", record.transaction]
    manifest = machine.store.manifest(record.next)
    limits = Limits.of(manifest, manifest_of(machine, record.previous))
    properties = {
        "Description": f"Deployment of generation {record.next_generation}",
        "KillMode": "control-group",
        "RuntimeMaxSec": f"{limits.total + limits.switching:.0f}",
        "OnFailure": "deployer-deadman.service",
    }
    if any(check.kind == "command" for check in manifest.checks):
        properties["Delegate"] = "yes"  # so that each program has a control group of its own
    if booting:
        properties["After"] = "default.target"
    machine.systemd.start_service(ACTIVATION, command, properties, wait=not booting)
