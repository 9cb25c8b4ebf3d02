"""How a transaction stands, as the controller is told."""

from __future__ import annotations

from deployer.formats.messages import HEALTHY, ROLLED_BACK, Outcome
from deployer.host.machine import Machine
from deployer.host.transaction import Record


def outcome(machine: Machine, record: Record) -> Outcome:
    """How a transaction stands, with all that it told."""
    actions, checks, log = machine.events.summary()
    seconds = max(0.0, record.deadline - machine.clock.now().seconds) if record.state == HEALTHY else 0.0
    return Outcome(
        transaction=record.transaction,
        state=record.state,
        generation=record.generation,
        system=record.system,
        reason=record.reason,
        actions=actions,
        checks=checks,
        log=log[-200:],
        confirm_seconds=round(seconds, 3),
        reboots=record.state == ROLLED_BACK and record.reboot and record.boot_id == machine.clock.now().boot_id,
        restarts=record.restarts,
    )
