"""The judgements that the transaction and the protocol ask for: what would be done, what is healthy, what has drifted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Callable, Collection, Final, List, Sequence, Tuple

from deployer.formats.manifest import Check, Manifest
from deployer.formats.messages import Action, CheckResult, DriftItem, Plan
from deployer.host.checks import Baseline, reads_journal, run_checks
from deployer.host.lost import manifest_of
from deployer.host.machine import Machine
from deployer.host.next_boot import read_next_boot
from deployer.host.observe import observe
from deployer.host.paths import CURRENT, JOURNAL_MARK
from deployer.host.plan_inputs import observe_for_plan
from deployer.host.planning import plan_activation
from deployer.host.refusals import SystemLost
from deployer.host.standing import PRIVATE, read_ledger
from deployer.host.transaction import BOOT, TEST
from deployer.host.unit_names import is_template

_AFRESH: Final = frozenset({"start", "restart"})
_STARTS: Final = _AFRESH | {"reload"}
_SUSPECTS: Final = 5
_LOG_LINES: Final = 20
_WHEN: Final = {BOOT: ", at the next boot", TEST: ", until the next boot"}


@dataclass(frozen=True)
class Verdict:
    """Whether all checks were green for as long as asked."""

    healthy: bool
    reason: str = ""


def judge(machine: Machine, manifest: Manifest, before: Baseline, *, should_stop: Callable[[], bool]) -> Verdict:
    """Run the checks until all have been green for `min_healthy_time`, or `check_deadline` is over, or somebody cancels.

    `before` is from before the switch.
    """
    results = run_checks(
        manifest.checks,
        manifest.timing,
        report=machine.events.check,
        should_stop=should_stop,
        baseline=_with_journal(machine, before).begun_anew(_done_to_units(machine, _AFRESH)),
        systemd=machine.systemd,
    )
    red = [f"{result.name}: {result.message}" for result in results if not result.healthy]
    if should_stop():
        return Verdict(False, "it was cancelled")
    if red:
        _tell_last_words(machine, [check for check, result in zip(manifest.checks, results) if not result.healthy])
    return Verdict(not red, "; ".join(red))


def failed_units(machine: Machine, manifest: Manifest) -> str:
    """Units of ours that a boot should have started, and that failed; empty where none did."""
    states = machine.systemd.states([unit.name for unit in manifest.units if not is_template(unit.name)])
    failed = sorted(name for name, status in states.items() if status.is_crashing)
    for name in failed[:_SUSPECTS]:
        for line in machine.systemd.log_tail(name, _LOG_LINES):
            machine.events.log(f"{name}: {line}")
    return "; ".join(f"{name}: it is {states[name].active}" for name in failed)


def _tell_last_words(machine: Machine, red: Sequence[Check]) -> None:
    """The last log lines of the units that red checks name; where one names none, of what this transaction has started."""
    started = _done_to_units(machine, _STARTS)
    named = [check.unit for check in red if check.unit]
    suspects = dict.fromkeys(named + (started if len(named) < len(red) else []))
    for name in list(suspects)[:_SUSPECTS]:
        for line in machine.systemd.log_tail(name, _LOG_LINES):
            machine.events.log(f"{name}: {line}")


def _done_to_units(machine: Machine, operations: Collection[str]) -> List[str]:
    """The units to which this transaction has done one of these."""
    done = machine.events.summary()[0]
    return [action.target for action in done if action.kind == "unit" and action.operation in operations]


def plan_for(machine: Machine, system: str, manifest: Manifest, *, repair: bool, generation: int = 0, goal: str = "") -> Plan:
    """What activating `system` would do on this host now. `generation`: the earlier one that it is to become again."""
    following = read_next_boot(machine.disk)
    if following is not None and following.system == system:
        generation = generation or following.generation
    current, ledger = machine.profile.current(), read_ledger(machine.disk)
    previous = manifest if system == current.system else manifest_of(machine, current.system)
    observed = observe_for_plan(machine, previous, manifest, ledger)
    number = machine.profile.number_for(system, generation)
    moves = None
    if number != current.number:
        because = f"{current.number} -> {number}{_WHEN.get(goal, '')}"
        moves = Action("generation", "change", str(number), because)
    elif following is not None and not repair and goal != TEST:
        moves = Action("generation", "change", str(number), f"the next boot would bring {following.generation or 'none'}")
    plan = plan_activation(previous, manifest, observed, ledger, repair=repair, generation=moves)
    return dataclasses.replace(plan, system=system, previous=current.system, generation=number)


def check_now(machine: Machine) -> Tuple[CheckResult, ...]:
    """Each check of the current generation, once."""
    manifest = machine.store.manifest(machine.profile.current().system)
    once = dataclasses.replace(manifest.timing, check_deadline=0.0, min_healthy_time=0.0)
    return run_checks(
        manifest.checks,
        once,
        report=lambda result: None,
        should_stop=lambda: False,
        baseline=_with_journal(machine, Baseline()),
        systemd=machine.systemd,
    )


def mark_journal(machine: Machine, checks: Sequence[Check]) -> None:
    """Remember where the journal ends as the activation begins, where a check asks for what comes after it."""
    if reads_journal(checks):
        machine.disk.write(JOURNAL_MARK, machine.systemd.journal_cursor().encode(), PRIVATE)


def _with_journal(machine: Machine, before: Baseline) -> Baseline:
    """What was remembered when the last activation began; it holds until the next one."""
    try:
        return dataclasses.replace(before, journal=machine.disk.read(JOURNAL_MARK).decode("ascii", "ignore"))
    except (FileNotFoundError, NotADirectoryError):
        return before


def observe_now(machine: Machine, ignore: Sequence[str]) -> Tuple[DriftItem, ...]:
    """What differs from the current generation."""
    try:
        manifest = machine.store.manifest(machine.profile.current().system)
    except SystemLost as error:
        return (DriftItem("generation", CURRENT, f"{error.path} in the store", "not there"),)
    return tuple(observe(machine, manifest, read_ledger(machine.disk), ignore))
