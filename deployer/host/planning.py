"""What an activation would do, in the order in which it does it. The decision is pure; `observe_for_plan` gathers what it needs.

The transaction carries out this very plan: `deployer plan` and `deployer deploy` can't differ.
"""

from __future__ import annotations

import dataclasses
from typing import Collection, Final, List, Mapping, Optional, Tuple

from deployer.formats.etc_readers import reader_of
from deployer.formats.manifest import DIRECTORY, FILE, LINK, EtcEntry, Manifest
from deployer.formats.messages import Action, Plan, Problem
from deployer.host import disk_entry
from deployer.host.accounts import AccountEdit, plan_accounts, purged
from deployer.host.accounts_apply import home_action, keeps_accounts
from deployer.host.etc import ABSENT, in_order_of_removal, left_as
from deployer.host.ledger import Ledger
from deployer.host.machine import UnitStatus
from deployer.host.paths import ETC
from deployer.host.plan_inputs import UNKNOWN, Observed, observe_for_plan
from deployer.host.preloading import preloads
from deployer.host.unit_changes import UnitChanges, unit_changes, unit_repairs
from deployer.host.unit_faults import REREAD, may_start
from deployer.host.unit_files import declared
from deployer.host.unit_names import is_template, template_of
from deployer.host.user_units import user_actions

__all__ = ["Observed", "observe_for_plan", "plan_activation"]

UNITS: Final = "systemd/system"
"""Below `/etc`."""
_REFUSE: Final = "refuse"
_BY_HAND: Final = "it was changed by hand"


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
    problems += _lacking_owners(manifest, observed, accounts)
    before, after = _etc(previous, manifest, observed, ledger, problems, repair=repair)
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
    problems += _units(previous, manifest, observed, foreign)
    if not repair:
        problems += _lacking(manifest, observed) + _other_architectures(manifest, observed)
    return Plan("", "", 0, tuple(actions), tuple(dict.fromkeys(problems)))


def _uses(previous: Manifest, manifest: Manifest) -> List[Action]:
    """What is the host's own, and is used from now on."""
    return [
        Action("host", "use", target, f"the host's own, for {needed_by}")
        for target, needed_by in sorted(manifest.requires.items())
        if target not in previous.requires
    ]


def _lacking(manifest: Manifest, observed: Observed) -> List[Problem]:
    """What a service takes from the host must be there."""
    return [
        Problem(
            target if target.startswith("/") else f"account {target}",
            f"this host has none, and {manifest.requires[target]} needs it",
            "Install what brings it on the host, or take the program from a package: `package: ${pkgs.NAME}`.",
        )
        for target in sorted(observed.lacking)
    ]


def _other_architectures(manifest: Manifest, observed: Observed) -> List[Problem]:
    """Programs for other processors than the host's would not start."""
    return [
        Problem(
            f"package {package}",
            f"its programs are for {architecture}, and this host is {observed.architecture}",
            "Give hosts of this architecture another configuration, or lock the package for it: `architecture:`.",
        )
        for architecture, package in sorted(manifest.architectures.items())
        if architecture != observed.architecture
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
    problems = (*edit.problems, *(observed.account_obstacles if edit.actions else ()), *_shells(manifest, observed, edit))
    return dataclasses.replace(edit, problems=problems)


def _shells(manifest: Manifest, observed: Observed, edit: AccountEdit) -> List[Problem]:
    """Nobody could log in with a shell that is not there; a person of ours would be locked out."""
    changed = {action.target for action in edit.actions if action.kind == "user"}
    return [
        Problem(
            f"user {user.name}",
            f"its shell {user.shell} is not on this host",
            "Install it there first, or take one from a package: `${pkgs.NAME}/bin/NAME`.",
        )
        for user in manifest.users
        if user.shell in observed.lacking_shells and user.name in changed
    ]


def _etc(
    previous: Manifest, manifest: Manifest, observed: Observed, ledger: Ledger, problems: List[Problem], *, repair: bool
) -> Tuple[List[Action], List[Action]]:
    """What is done before `current` moves, and after."""
    wanted = {entry.path: entry for entry in manifest.etc}
    before = {entry.path: entry for entry in previous.etc}
    early, late = in_order_of_removal([path for path in ledger.etc if path not in wanted], wanted)
    actions = [_removal(path, observed, ledger) for path in early if not ledger.etc[path].adopted]
    problems += [
        observed.obstacles[path] for path in (*early, *late) if path in observed.obstacles and _goes(path, observed, ledger)
    ]
    for path in sorted(wanted):
        operation = _operation(wanted[path], before.get(path), observed, ledger, repair=repair)
        if operation and path in observed.obstacles:
            problems.append(observed.obstacles[path])
        elif operation == _REFUSE:
            problems.append(_in_the_way(wanted[path], observed.etc[path], ledger))
        elif operation:
            because = _because(operation, wanted[path], before.get(path), ledger)
            if operation == "change" and because != _BY_HAND and _is_touched(path, observed, ledger):
                because = ", and ".join(filter(None, [because, _BY_HAND]))
            actions.append(Action("etc", operation, f"{ETC}/{path}", because))
    return actions, [_removal(path, observed, ledger) for path in late if not ledger.etc[path].adopted]


def _operation(entry: EtcEntry, before: Optional[EtcEntry], observed: Observed, ledger: Ledger, *, repair: bool) -> str:
    """`add`, `change`, `replace`, `refuse`, or nothing."""
    stands, wish, owned = observed.etc[entry.path], observed.wishes[entry.path], ledger.etc.get(entry.path)
    if stands == UNKNOWN:
        return ""
    is_same = before is not None and entry.leaves_the_same(before)
    if owned is not None and is_same and not (repair and stands != wish):
        return ""
    kind = stands.split(" ", 1)[0]
    replaceable = kind in (disk_entry.FILE, disk_entry.LINK, ABSENT) or (
        kind == disk_entry.DIRECTORY and DIRECTORY in (entry.kind, owned and owned.kind)
    )
    if owned is not None and not owned.adopted:
        return "change" if replaceable else _REFUSE
    if stands == wish:
        return "change" if owned is not None else ""
    if stands == ABSENT:
        return "add"
    is_identical = entry.kind == LINK and stands == f"file {entry.sha256} 644 0 0"
    return "replace" if replaceable and (entry.replace or is_identical or owned is not None) else _REFUSE


def _goes(path: str, observed: Observed, ledger: Ledger) -> bool:
    """Whether an entry of ours that is no longer declared is still there to be taken away."""
    return not ledger.etc[path].adopted and observed.etc[path] != ABSENT


def _is_touched(path: str, observed: Observed, ledger: Ledger) -> bool:
    """Whether an entry of ours no longer stands as we left it."""
    owned = ledger.etc.get(path)
    return owned is not None and not owned.adopted and observed.etc[path] != left_as(owned)


def _in_the_way(entry: EtcEntry, stands: str, ledger: Ledger) -> Problem:
    kind = stands.split(" ", 1)[0]
    if entry.path in ledger.etc:
        message, remedy = f"somebody put a {kind} in the place of what deployer had there", "Move it out of the way."
    elif kind in (disk_entry.FILE, disk_entry.LINK) or (kind == disk_entry.DIRECTORY and entry.kind == DIRECTORY):
        message = f"a {kind} is there already, and is not deployer's"
        remedy = "Set `replace: true` on the entry: what is there is kept, and returns when the entry goes."
    else:
        message = f"a {kind if kind != disk_entry.OTHER else 'device, socket or pipe'} is there already"
        remedy = "Move it out of the way: only files and links are replaced."
    return Problem(f"{ETC}/{entry.path}", message, remedy)


def _because(operation: str, entry: EtcEntry, before: Optional[EtcEntry], ledger: Ledger) -> str:
    if operation == "replace":
        return "what is there is kept, and returns when the entry goes"
    if operation == "add" and entry.kind == FILE:
        reader = reader_of(entry.path)
        return f"a real file: {reader.why}" if reader is not None else ""
    if operation != "change":
        return ""
    if before is None or entry.leaves_the_same(before):
        return _BY_HAND
    names = {"kind": "kind", "sha256": "content", "target": "target", "mode": "mode", "owner": "owner", "group": "group"}
    return ", ".join(word for name, word in names.items() if getattr(before, name) != getattr(entry, name))


def _removal(path: str, observed: Observed, ledger: Ledger) -> Action:
    operation = "restore" if ledger.etc[path].original is not None else "remove"
    because = _BY_HAND if observed.etc[path] != ABSENT and _is_touched(path, observed, ledger) else ""
    return Action("etc", operation, f"{ETC}/{path}", because)


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


def _units(previous: Manifest, manifest: Manifest, observed: Observed, foreign: Collection[str]) -> List[Problem]:
    """Units that are extended must be there; those that are to run must not be masked by the host, unless the mask goes."""
    unmasked = {path.rpartition("/")[2] for path in foreign}
    before = {unit.name: unit for unit in previous.units}
    files = {entry.path for entry in manifest.etc}
    found: List[Problem] = []
    for unit in manifest.units:
        status, old = observed.units.get(unit.name, UnitStatus()), before.get(unit.name)
        if unit.text or unit.masked or is_template(unit.name) or f"{UNITS}/{unit.name}" in files:
            continue
        if status.load == "masked" and unit.name in unmasked:
            continue
        if status.load == "masked" and not (old is not None and old.masked):
            remedy = f"Run `systemctl unmask {unit.name}` there, or do not extend it."
            found.append(Problem(f"unit {unit.name}", "this host masks it", remedy))
        elif not status.shipped and (status.load == "not-found" or (old is not None and bool(old.text))):
            message = "this host has no such unit to extend"
            if template_of(unit.name) is None or f"{UNITS}/{template_of(unit.name)}" not in files:
                found.append(Problem(f"unit {unit.name}", message, "Give it a text, or install the package that brings it."))
    return found


def _lacking_owners(manifest: Manifest, observed: Observed, accounts: AccountEdit) -> List[Problem]:
    made = {f"{action.kind} {action.target}" for action in accounts.actions}
    declared = {f"user {user.name}" for user in manifest.users} | {f"group {group.name}" for group in manifest.groups}
    return [
        Problem(f"{ETC}/{path}", f"it is to belong to the {owner}, and this host has none of that name", f"Declare the {owner}.")
        for path, owner in sorted(observed.owners.items())
        if owner not in made | declared
    ]
