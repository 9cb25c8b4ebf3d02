"""What an activation would do, in the order in which it does it. Pure; `plan_inputs.observe_for_plan` gathers what it needs.

The transaction carries out this very plan: `deployer plan` and `deployer deploy` can't differ.
"""

from __future__ import annotations

import dataclasses
from typing import List, Mapping, Optional, Tuple

from deployer.formats.manifest import Manifest
from deployer.formats.messages import Action, Plan, Problem
from deployer.host.accounts import AccountEdit, plan_accounts, purged
from deployer.host.accounts_apply import home_action, keeps_accounts
from deployer.host.etc_plan import plan_etc
from deployer.host.lacking import lacking_owners, lacking_requirements, lacking_shells, lacking_units, other_architectures
from deployer.host.ledger import Ledger
from deployer.host.machine import UnitStatus
from deployer.host.plan_inputs import Observed
from deployer.host.preloading import preloads
from deployer.host.unit_changes import UnitChanges, unit_changes, unit_repairs
from deployer.host.unit_faults import REREAD, may_start
from deployer.host.unit_files import declared
from deployer.host.user_units import user_actions


def plan_activation(
    previous: Manifest,
    manifest: Manifest,
    observed: Observed,
    ledger: Ledger,
    *,
    repair: bool,
    generation: Optional[Action] = None,
) -> Plan:
    """The plan, but for the systems' names and the generation's number. `repair` also sets right what has drifted.

    `generation` is the action that moves `current`, where it moves. Equal manifests ask for nothing, unless it is a repair.
    """
    if previous == manifest and not repair:
        return Plan("", "", 0, (generation,) if generation is not None else ())
    problems = list(observed.problems)
    units, foreign = _unit_changes(previous, manifest, observed, repair=repair)
    actions = _uses(previous, manifest)
    actions += units.skipped
    of_users = user_actions(previous, manifest, {} if repair else observed.user_units)
    stops = [*of_users[0], *(Action("unit", "stop", name, units.because.get(name, "")) for name in units.stop)]
    accounts = _accounts(previous, manifest, observed, ledger)
    made = [*accounts.actions, *(home_action(home, user) for home, user in observed.homes)]
    actions += [*made, *stops] if keeps_accounts(previous, manifest) and not repair else [*stops, *made]
    problems += accounts.problems
    problems += lacking_owners(manifest, observed, accounts)
    before, after = plan_etc(previous, manifest, observed, ledger, problems, repair=repair)
    actions += [*before, *([generation] if generation is not None else []), *after]
    actions += [Action("etc", "remove", path, because) for path, because in sorted(foreign.items())]
    actions += _sysctl(manifest, observed, ledger, problems)
    if manifest.tmpfiles and (manifest.tmpfiles != previous.tmpfiles or repair):
        actions += [Action("tmpfiles", "add", path) for path in observed.missing]
    if repair and any(action.kind != "unit" for action in actions):
        units = dataclasses.replace(units, start=units.start + _waiting(manifest, observed))
    ahead = () if repair else tuple(preloads(previous.units, manifest.units, units))
    rest = tuple(name for name in units.start if name not in ahead)
    for verb, names in (
        ("start", ahead),
        (REREAD, units.reread),
        ("reload", units.reload),
        ("restart", units.restart),
        ("start", rest),
    ):
        actions += [Action("unit", verb, name, units.because.get(name, "")) for name in names]
    actions += of_users[1]
    problems += lacking_units(previous, manifest, observed, foreign)
    if not repair:
        problems += lacking_requirements(manifest, observed) + other_architectures(manifest, observed)
    return Plan("", "", 0, tuple(actions), tuple(dict.fromkeys(problems)))


def _uses(previous: Manifest, manifest: Manifest) -> List[Action]:
    """What is the host's own, and is used from now on."""
    return [
        Action("host", "use", target, f"the host's own, for {needed_by}")
        for target, needed_by in sorted(manifest.requires.items())
        if target not in previous.requires
    ]


def _unit_changes(
    previous: Manifest, manifest: Manifest, observed: Observed, *, repair: bool
) -> Tuple[UnitChanges, Mapping[str, str]]:
    """And which files of somebody's a repair sets aside, with the reason."""
    if not repair or previous != manifest:
        return unit_changes(previous, manifest, observed.units), {}
    changes, foreign = unit_repairs(manifest, observed.units, observed.system)
    return changes, {path: because for path, because in foreign.items() if path in observed.foreign}


def _waiting(manifest: Manifest, observed: Observed) -> Tuple[str, ...]:
    """Units whose conditions did not hold when they were last started, and may hold once the rest is set right."""
    units = {unit.name: unit for unit in manifest.units}
    return tuple(
        name
        for name, unit in sorted(units.items())
        if observed.units.get(name, UnitStatus()).is_waiting and may_start(unit, declared(name, units) or unit)
    )


def _accounts(previous: Manifest, manifest: Manifest, observed: Observed, ledger: Ledger) -> AccountEdit:
    edit = plan_accounts(
        observed.accounts,
        manifest.users,
        manifest.groups,
        ledger,
        purge=purged(previous.users),
        elsewhere=observed.elsewhere,
    )
    problems = (*edit.problems, *(observed.account_obstacles if edit.actions else ()), *lacking_shells(manifest, observed, edit))
    return dataclasses.replace(edit, problems=problems)


def _sysctl(manifest: Manifest, observed: Observed, ledger: Ledger, problems: List[Problem]) -> List[Action]:
    actions: List[Action] = []
    for key, original in ledger.sysctl.items():
        now = observed.sysctl.get(key)
        if key not in manifest.sysctl and now is not None and now.split() != original.split():
            actions.append(Action("sysctl", "restore", key, f"{now} -> {original}"))
            problems += _sealed(key, observed)
    for key, value in sorted(manifest.sysctl.items()):
        now = observed.sysctl.get(key)
        if now is None:
            problems.append(Problem(f"sysctl {key}", "this host's kernel has no such setting", "Remove it, or load its module."))
        elif now.split() != value.split():
            actions.append(Action("sysctl", "change", key, f"{now} -> {value}"))
            problems += _sealed(key, observed)
    return actions


def _sealed(key: str, observed: Observed) -> List[Problem]:
    if key not in observed.sealed:
        return []
    remedy = "Remove it from the configuration of this host: its kernel or its container does not let it be changed."
    return [Problem(f"sysctl {key}", "this setting is read-only here", remedy)]
