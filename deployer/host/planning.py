"""What an activation would do, in the order in which it does it. The decision is pure; `observe_for_plan` gathers what it needs.

The transaction carries out this very plan: `deployer plan` and `deployer deploy` can't differ.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Collection, Dict, Final, FrozenSet, List, Mapping, Optional, Tuple

from deployer.errors import DeployerError
from deployer.formats.manifest import DIRECTORY, FILE, LINK, SYMLINK, EtcEntry, Manifest
from deployer.formats.messages import Action, Plan, Problem
from deployer.host.account_files import Ids, UnknownOwner, read_accounts
from deployer.host.accounts import AccountEdit, plan_accounts, purged
from deployer.host.etc import ABSENT, fingerprint, in_order_of_removal, link_target
from deployer.host.ledger import Ledger
from deployer.host.machine import Machine
from deployer.host.paths import ETC
from deployer.host.switching import tmpfiles_paths
from deployer.host.unit_switch import plan_units

_UNKNOWN: Final = "?"


@dataclass(frozen=True)
class Observed:
    """What matters of a host for a plan."""

    etc: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Path of an entry to the fingerprint of what stands there."""
    wishes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Path of a declared entry to the fingerprint that it is to have."""
    active: FrozenSet[str] = frozenset()
    """Units that run."""
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
        try:
            etc[path] = fingerprint(machine.disk, f"{ETC}/{path}")
        except DeployerError as error:
            problems.append(Problem(f"{ETC}/{path}", error.message, error.remedy))
            etc[path] = _UNKNOWN
        problems.extend(_parents(machine, path, declared))
    if declared and _is_read_only(machine):
        problems.append(Problem(ETC, "it is on a read-only file system", "Remount it writable."))
    names = sorted({unit.name for unit in (*previous.units, *manifest.units)})
    states = machine.systemd.states(names) if names else {}
    keys = sorted({*manifest.sysctl, *ledger.sysctl})
    concerns_accounts = bool(manifest.users or manifest.groups or ledger.users or ledger.groups or ledger.memberships)
    return Observed(
        etc=etc,
        wishes={path: _wish(entry, ids) for path, entry in declared.items()},
        active=frozenset(name for name, status in states.items() if status.is_active),
        accounts=read_accounts(machine.disk) if concerns_accounts else {},
        sysctl={key: machine.system.sysctl(key) for key in keys},
        missing=tuple(path for path in tmpfiles_paths(manifest.tmpfiles) if not machine.disk.exists(path)),
        problems=tuple(problems),
    )


def plan_activation(previous: Manifest, manifest: Manifest, observed: Observed, ledger: Ledger, *, repair: bool) -> Plan:
    """The plan, but for the systems' names and the generation's number. `repair` also sets right what has drifted."""
    problems = list(observed.problems)
    units = plan_units(previous.units, manifest.units, observed.active)
    actions = [Action("unit", "skip", name, reason) for name, reason in units.skip.items()]
    actions += [Action("unit", "stop", name, units.reasons.get(name, "")) for name in units.stop]
    accounts = _accounts(previous, manifest, observed, ledger)
    actions += accounts.actions
    problems += accounts.problems
    actions += _etc(previous, manifest, observed, ledger, problems, repair=repair)
    actions += _sysctl(manifest, observed, ledger, problems)
    if manifest.tmpfiles and (manifest.tmpfiles != previous.tmpfiles or repair):
        actions += [Action("tmpfiles", "add", path) for path in observed.missing]
    for verb, names in (("reload", units.reload), ("restart", units.restart), ("start", units.start)):
        actions += [Action("unit", verb, name, units.reasons.get(name, "")) for name in names]
    return Plan("", "", 0, tuple(actions), tuple(problems))


def _accounts(previous: Manifest, manifest: Manifest, observed: Observed, ledger: Ledger) -> AccountEdit:
    return plan_accounts(observed.accounts, manifest.users, manifest.groups, ledger, purge=purged(previous.users))


def _etc(
    previous: Manifest, manifest: Manifest, observed: Observed, ledger: Ledger, problems: List[Problem], *, repair: bool
) -> List[Action]:
    declared = {entry.path: entry for entry in manifest.etc}
    before = {entry.path: entry for entry in previous.etc}
    early, late = in_order_of_removal([path for path in ledger.etc if path not in declared], declared)
    actions = [_removal(path, ledger) for path in early if not ledger.etc[path].adopted]
    for path in sorted(declared):
        operation = _operation(declared[path], before.get(path), observed, ledger, repair=repair)
        if operation == "refuse":
            what = observed.etc[path].split(" ", 1)[0]
            message = f"a {what} is there already, and is not deployer's"
            problems.append(Problem(f"{ETC}/{path}", message, "Set `replace: true` on the entry: it is kept, and returns later."))
        elif operation:
            actions.append(Action("etc", operation, f"{ETC}/{path}"))
    return actions + [_removal(path, ledger) for path in late if not ledger.etc[path].adopted]


def _operation(entry: EtcEntry, before: Optional[EtcEntry], observed: Observed, ledger: Ledger, *, repair: bool) -> str:
    """`add`, `change`, `replace`, `refuse`, or nothing."""
    stands, wish, owned = observed.etc[entry.path], observed.wishes[entry.path], ledger.etc.get(entry.path)
    same = before is not None and dataclasses.replace(before, replace=entry.replace) == entry
    if owned is not None and (same or stands == wish):
        if same:
            return "change" if repair and stands != wish else ""
        return "change"
    if owned is not None and not owned.adopted:
        return "change"
    if stands == ABSENT:
        return "add"
    if stands == wish:
        return ""
    kind = stands.split(" ", 1)[0]
    replaceable = kind in ("file", "link") or (kind == "directory" and entry.kind == DIRECTORY)
    identical = entry.kind == LINK and stands == f"file {entry.sha256} 644 0 0"
    if replaceable and (entry.replace or identical or owned is not None):
        return "replace"
    return "refuse"


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


def _wish(entry: EtcEntry, ids: Ids) -> str:
    if entry.kind in (LINK, SYMLINK):
        return f"link {link_target(entry.path) if entry.kind == LINK else entry.target}"
    try:
        owner = f"{int(entry.mode, 8):o} {ids.uid(entry.owner)} {ids.gid(entry.group)}"
    except UnknownOwner:
        # The activation makes the account first; nothing that stands there now can be right.
        return _UNKNOWN
    return f"file {entry.sha256} {owner}" if entry.kind == FILE else f"directory {owner}"


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
