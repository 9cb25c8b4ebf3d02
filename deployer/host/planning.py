"""What an activation would do, in the order in which it does it. The decision is pure; `observe_for_plan` gathers what it needs.

The transaction carries out this very plan: `deployer plan` and `deployer deploy` can't differ.
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from typing import Collection, Dict, Final, FrozenSet, List, Mapping, Optional, Tuple

from deployer.errors import DeployerError
from deployer.formats.manifest import DIRECTORY, FILE, LINK, SYMLINK, EtcEntry, Manifest
from deployer.formats.messages import Action, Plan, Problem
from deployer.host import disk as d
from deployer.host.account_files import Ids, UnknownOwner, read_accounts
from deployer.host.accounts import AccountEdit, plan_accounts, purged
from deployer.host.etc import ABSENT, fingerprint, in_order_of_removal, link_target
from deployer.host.ledger import Ledger
from deployer.host.machine import Machine, UnitStatus
from deployer.host.paths import ETC
from deployer.host.switching import tmpfiles_paths
from deployer.host.unit_changes import unit_changes
from deployer.host.unit_switch import is_template, template_of

UNITS: Final = "systemd/system"
"""Below `/etc`."""
_UNKNOWN: Final = "?"
_REFUSE: Final = "refuse"


@dataclass(frozen=True)
class Observed:
    """What matters of a host for a plan."""

    etc: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Path of an entry to the fingerprint of what stands there."""
    wishes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Path of a declared entry to the fingerprint that it is to have."""
    owners: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Path of a declared entry to the user or group that it needs and the host lacks."""
    mounts: FrozenSet[str] = frozenset()
    """Paths of entries on which something is mounted."""
    units: Mapping[str, UnitStatus] = dataclasses.field(default_factory=dict)
    """How systemd sees each unit, and each running instance of a template."""
    accounts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Account files' texts by path."""
    sysctl: Mapping[str, Optional[str]] = dataclasses.field(default_factory=dict)
    """Key to value; None: the kernel has no such key."""
    missing: Tuple[str, ...] = ()
    """Paths that tmpfiles rules would make."""
    problems: Tuple[Problem, ...] = ()
    """What was found in the way while looking."""


def observe_for_plan(machine: Machine, previous: Manifest, manifest: Manifest, ledger: Ledger) -> Observed:
    """Look at everything that either manifest, or the ledger, is concerned with. Changes nothing."""
    declared = {entry.path: entry for entry in manifest.etc}
    ids = Ids(machine.disk)
    problems: List[Problem] = []
    etc: Dict[str, str] = {}
    for path in sorted({*declared, *ledger.etc}):
        if _makes_way(path, declared, ledger):
            etc[path] = ABSENT
            continue
        in_the_way = _parents(machine, path, declared)
        try:
            etc[path] = _UNKNOWN if in_the_way else fingerprint(machine.disk, f"{ETC}/{path}")
        except DeployerError as error:
            in_the_way = [Problem(f"{ETC}/{path}", error.message, error.remedy)]
            etc[path] = _UNKNOWN
        problems.extend(in_the_way)
    if declared and _is_read_only(machine):
        problems.append(Problem(ETC, "it is on a read-only file system", "Remount it writable."))
    names = sorted({unit.name for unit in (*previous.units, *manifest.units)})
    keys = sorted({*manifest.sysctl, *ledger.sysctl})
    concerns_accounts = bool(manifest.users or manifest.groups or ledger.users or ledger.groups or ledger.memberships)
    return Observed(
        etc=etc,
        wishes={path: _wish(entry, ids) for path, entry in declared.items()},
        owners={path: lacking for path, entry in declared.items() for lacking in [_lacking(entry, ids)] if lacking},
        mounts=_mounts(machine, declared),
        units=machine.systemd.states(names) if names else {},
        accounts=read_accounts(machine.disk) if concerns_accounts else {},
        sysctl={key: machine.system.sysctl(key) for key in keys},
        missing=tuple(path for path in tmpfiles_paths(manifest.tmpfiles) if not machine.disk.exists(path)),
        problems=tuple(problems),
    )


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
    units = unit_changes(previous, manifest, observed.units)
    actions = list(units.skipped)
    actions += [Action("unit", "stop", name, units.because.get(name, "")) for name in units.stop]
    accounts = _accounts(previous, manifest, observed, ledger)
    actions += accounts.actions
    problems += accounts.problems
    problems += _lacking_owners(manifest, observed, accounts)
    before, after = _etc(previous, manifest, observed, ledger, problems, repair=repair)
    actions += [*before, *([generation] if generation is not None else []), *after]
    actions += _sysctl(manifest, observed, ledger, problems)
    if manifest.tmpfiles and (manifest.tmpfiles != previous.tmpfiles or repair):
        actions += [Action("tmpfiles", "add", path) for path in observed.missing]
    for verb, names in (("reload", units.reload), ("restart", units.restart), ("start", units.start)):
        actions += [Action("unit", verb, name, units.because.get(name, "")) for name in names]
    problems += _units(previous, manifest, observed)
    return Plan("", "", 0, tuple(actions), tuple(dict.fromkeys(problems)))


def _accounts(previous: Manifest, manifest: Manifest, observed: Observed, ledger: Ledger) -> AccountEdit:
    return plan_accounts(observed.accounts, manifest.users, manifest.groups, ledger, purge=purged(previous.users))


def _etc(
    previous: Manifest, manifest: Manifest, observed: Observed, ledger: Ledger, problems: List[Problem], *, repair: bool
) -> Tuple[List[Action], List[Action]]:
    """What is done before `current` moves, and after."""
    declared = {entry.path: entry for entry in manifest.etc}
    before = {entry.path: entry for entry in previous.etc}
    early, late = in_order_of_removal([path for path in ledger.etc if path not in declared], declared)
    actions = [_removal(path, ledger) for path in early if not ledger.etc[path].adopted]
    for path in sorted(declared):
        operation = _operation(declared[path], before.get(path), observed, ledger, repair=repair)
        if operation and path in observed.mounts:
            problems.append(Problem(f"{ETC}/{path}", "something is mounted there", "Unmount it, or do not declare the path."))
        elif operation == _REFUSE:
            problems.append(_in_the_way(declared[path], observed.etc[path], ledger))
        elif operation:
            because = _because(operation, declared[path], before.get(path), ledger)
            actions.append(Action("etc", operation, f"{ETC}/{path}", because))
    return actions, [_removal(path, ledger) for path in late if not ledger.etc[path].adopted]


def _operation(entry: EtcEntry, before: Optional[EtcEntry], observed: Observed, ledger: Ledger, *, repair: bool) -> str:
    """`add`, `change`, `replace`, `refuse`, or nothing."""
    stands, wish, owned = observed.etc[entry.path], observed.wishes[entry.path], ledger.etc.get(entry.path)
    if stands == _UNKNOWN:
        return ""
    is_same = before is not None and dataclasses.replace(before, replace=entry.replace) == entry
    if owned is not None and is_same and not (repair and stands != wish):
        return ""
    kind = stands.split(" ", 1)[0]
    replaceable = kind in (d.FILE, d.LINK, ABSENT) or (kind == d.DIRECTORY and DIRECTORY in (entry.kind, owned and owned.kind))
    if owned is not None and not owned.adopted:
        return "change" if replaceable else _REFUSE
    if stands == wish:
        return "change" if owned is not None else ""
    if stands == ABSENT:
        return "add"
    is_identical = entry.kind == LINK and stands == f"file {entry.sha256} 644 0 0"
    return "replace" if replaceable and (entry.replace or is_identical or owned is not None) else _REFUSE


def _in_the_way(entry: EtcEntry, stands: str, ledger: Ledger) -> Problem:
    kind = stands.split(" ", 1)[0]
    if entry.path in ledger.etc:
        message, remedy = f"somebody put a {kind} in the place of what deployer had there", "Move it out of the way."
    elif kind in (d.FILE, d.LINK) or (kind == d.DIRECTORY and entry.kind == DIRECTORY):
        message = f"a {kind} is there already, and is not deployer's"
        remedy = "Set `replace: true` on the entry: what is there is kept, and returns when the entry goes."
    else:
        message = f"a {kind if kind != d.OTHER else 'device, socket or pipe'} is there already"
        remedy = "Move it out of the way: only files and links are replaced."
    return Problem(f"{ETC}/{entry.path}", message, remedy)


def _because(operation: str, entry: EtcEntry, before: Optional[EtcEntry], ledger: Ledger) -> str:
    if operation == "replace":
        return "what is there is kept, and returns when the entry goes"
    if operation != "change":
        return ""
    if before is None or dataclasses.replace(before, replace=entry.replace) == entry:
        return "it was changed by hand"
    names = {"kind": "kind", "sha256": "content", "target": "target", "mode": "mode", "owner": "owner", "group": "group"}
    return ", ".join(word for name, word in names.items() if getattr(before, name) != getattr(entry, name))


def _removal(path: str, ledger: Ledger) -> Action:
    return Action("etc", "restore" if ledger.etc[path].original is not None else "remove", f"{ETC}/{path}")


def _sysctl(manifest: Manifest, observed: Observed, ledger: Ledger, problems: List[Problem]) -> List[Action]:
    actions: List[Action] = []
    for key, original in ledger.sysctl.items():
        now = observed.sysctl.get(key)
        if key not in manifest.sysctl and now is not None and now.split() != original.split():
            actions.append(Action("sysctl", "restore", key, f"{now} -> {original}"))
    for key, value in sorted(manifest.sysctl.items()):
        now = observed.sysctl.get(key)
        if now is None:
            problems.append(Problem(f"sysctl {key}", "this host's kernel has no such setting", "Remove it, or load its module."))
        elif now.split() != value.split():
            actions.append(Action("sysctl", "change", key, f"{now} -> {value}"))
    return actions


def _units(previous: Manifest, manifest: Manifest, observed: Observed) -> List[Problem]:
    """Units that are extended must be there; those that are to run must not be masked by the host."""
    before = {unit.name: unit for unit in previous.units}
    files = {entry.path for entry in manifest.etc}
    found: List[Problem] = []
    for unit in manifest.units:
        status, old = observed.units.get(unit.name, UnitStatus()), before.get(unit.name)
        if unit.text or unit.masked or is_template(unit.name) or f"{UNITS}/{unit.name}" in files:
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


def _wish(entry: EtcEntry, ids: Ids) -> str:
    if entry.kind in (LINK, SYMLINK):
        return f"link {link_target(entry.path) if entry.kind == LINK else entry.target}"
    try:
        owner = f"{int(entry.mode, 8):o} {ids.uid(entry.owner)} {ids.gid(entry.group)}"
    except UnknownOwner:
        # The activation makes the account first; nothing that stands there now can be right.
        return _UNKNOWN
    return f"file {entry.sha256} {owner}" if entry.kind == FILE else f"directory {owner}"


def _lacking(entry: EtcEntry, ids: Ids) -> str:
    """`user web`, where an entry belongs to somebody whom the host does not have."""
    if entry.kind not in (FILE, DIRECTORY):
        return ""
    try:
        ids.uid(entry.owner)
        ids.gid(entry.group)
    except UnknownOwner as error:
        return f"{error.kind} {error.name}"
    return ""


def _mounts(machine: Machine, paths: Collection[str]) -> FrozenSet[str]:
    """A link or file cannot be put where something is mounted, not even a bind mount of the same file system."""
    try:
        lines = (machine.disk.root / "proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    points = {re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), line.split()[4]) for line in lines}
    return frozenset(path for path in paths if f"{ETC}/{path}" in points)


def _makes_way(path: str, declared: Collection[str], ledger: Ledger) -> bool:
    """Whether something of ours that goes first stands where a directory for this entry is to be."""
    parts = path.split("/")
    for above in ("/".join(parts[:depth]) for depth in range(1, len(parts))):
        owned = ledger.etc.get(above)
        if owned is not None and above not in declared and owned.kind != DIRECTORY and not owned.adopted:
            return owned.original is None
    return False


def _parents(machine: Machine, path: str, declared: Collection[str]) -> List[Problem]:
    parts = path.split("/")
    for depth in range(1, len(parts)):
        above = "/".join(parts[:depth])
        if above in declared:
            continue
        try:
            entry = machine.disk.entry(f"{ETC}/{above}")
        except DeployerError as error:
            return [Problem(f"{ETC}/{path}", error.message, error.remedy)]
        if entry is None:
            return []
        if entry.kind != "directory":
            message = f"{ETC}/{above} is a {entry.kind}, and {ETC}/{path} is to stand below it"
            return [Problem(f"{ETC}/{path}", message, "Declare the path that is meant, or make it a directory.")]
    return []


def _is_read_only(machine: Machine) -> bool:
    try:
        return bool(os.statvfs(str(machine.disk.root) + ETC).f_flag & os.ST_RDONLY)
    except OSError:
        return False
