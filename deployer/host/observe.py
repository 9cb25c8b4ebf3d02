"""Drift: where the host is not as its current generation declares. Reads, and changes nothing.

Accounts are judged by the edit that a repair would make of them; accounts that we only adopted are the host's own.
"""

from __future__ import annotations

import fnmatch
import hashlib
from typing import Final, Iterator, List, Mapping, Sequence, Tuple

from deployer.errors import DeployerError
from deployer.formats.manifest import DIRECTORY, FILE, SYMLINK, EtcEntry, Manifest
from deployer.formats.messages import Action, DriftItem, Problem
from deployer.formats.state import SETTLED
from deployer.host import disk_entry
from deployer.host.account_files import Ids, read_accounts
from deployer.host.account_texts import PASSWD, AccountTexts
from deployer.host.accounts import plan_accounts
from deployer.host.accounts_apply import missing_homes
from deployer.host.etc import link_target
from deployer.host.kernel import is_same
from deployer.host.ledger import Ledger
from deployer.host.machine import Machine
from deployer.host.name_service import accounts_elsewhere
from deployer.host.paths import CURRENT
from deployer.host.standing import read_state
from deployer.host.subordinate_ids import SUBORDINATE
from deployer.host.unit_faults import unit_faults
from deployer.host.unit_names import is_template

NOTHING: Final = "nothing"
_ABBREVIATED: Final = 12
_ATTRIBUTES: Final = ("uid", "gid", "description", "home", "shell")
"""The third and following fields of a line of passwd."""


def observe(machine: Machine, manifest: Manifest, ledger: Ledger, ignore: Sequence[str]) -> Tuple[DriftItem, ...]:
    """Every difference whose target, or `KIND:TARGET`, no glob of `ignore` matches."""
    found: List[DriftItem] = []
    found.extend(_generation(machine))
    found.extend(_etc(machine, manifest))
    found.extend(_units(machine, manifest))
    found.extend(_accounts(machine, manifest, ledger))
    found.extend(_sysctl(machine, manifest))
    return tuple(item for item in found if not _ignored(item, ignore))


def etc_difference(machine: Machine, entry: EtcEntry, system: str, ids: Ids) -> Tuple[str, str]:
    """What an entry declares and what stands there, in words; both empty where they agree."""
    path = f"/etc/{entry.path}"
    stands = machine.disk.entry(path)
    if entry.kind in (FILE, DIRECTORY):
        kind = disk_entry.FILE if entry.kind == FILE else disk_entry.DIRECTORY
        if stands is None or stands.kind != kind:
            return f"a {kind}", NOTHING if stands is None else f"a {stands.kind}"
        declared = (int(entry.mode, 8), ids.uid(entry.owner), ids.gid(entry.group))
        observed = (stands.metadata.mode, stands.metadata.uid, stands.metadata.gid)
        if declared != observed:
            return _owner(*declared), _owner(*observed)
        if entry.kind == FILE:
            stored = machine.disk.root / f"{system}/etc/{entry.path}".lstrip("/")
            wanted = entry.sha256 or hashlib.sha256(stored.read_bytes()).hexdigest()
            content = hashlib.sha256(machine.disk.read(path)).hexdigest()
            if wanted != content:
                return f"content {wanted[:_ABBREVIATED]}", f"content {content[:_ABBREVIATED]}"
        return "", ""
    target = entry.target if entry.kind == SYMLINK else link_target(entry.path)
    if stands is None or stands.kind != disk_entry.LINK:
        return f"a link to {target}", NOTHING if stands is None else f"a {stands.kind}"
    return ("", "") if stands.target == target else (f"a link to {target}", f"a link to {stands.target}")


def _generation(machine: Machine) -> Iterator[DriftItem]:
    state, current = read_state(machine.disk), machine.profile.current()
    if state.phase == SETTLED and state.system != current.system:
        yield DriftItem("generation", CURRENT, state.system or NOTHING, current.system or NOTHING)
    elif current.system and not machine.store.is_valid(current.system):
        yield DriftItem("generation", CURRENT, f"{current.system} in the store", "not there, or not valid")


def _etc(machine: Machine, manifest: Manifest) -> Iterator[DriftItem]:
    system, ids = machine.profile.current().system, Ids(machine.disk)
    for entry in sorted(manifest.etc, key=lambda entry: entry.path):
        try:
            declared, observed = etc_difference(machine, entry, system, ids)
        except DeployerError as error:
            declared, observed = "readable", error.message
        if declared:
            yield DriftItem("etc", f"/etc/{entry.path}", declared, observed)


def _units(machine: Machine, manifest: Manifest) -> Iterator[DriftItem]:
    names = [unit.name for unit in manifest.units if not is_template(unit.name)]
    states = machine.systemd.states(names) if names else {}
    system = machine.profile.current().system
    for name, fault in unit_faults({unit.name: unit for unit in manifest.units}, states, system):
        yield DriftItem("unit", name, fault.declared, fault.observed)


def _accounts(machine: Machine, manifest: Manifest, ledger: Ledger) -> Iterator[DriftItem]:
    if not (manifest.users or manifest.groups or ledger.users or ledger.memberships):
        return
    texts = read_accounts(machine.disk)
    elsewhere = accounts_elsewhere(machine.disk, machine.system, texts, manifest.users, manifest.groups, ledger)
    edit = plan_accounts(texts, manifest.users, manifest.groups, ledger, elsewhere=elsewhere)
    for action in edit.actions:
        yield from _account(action, AccountTexts(texts), AccountTexts(edit.texts))
    refused: List[Problem] = []
    for home, user in missing_homes(machine.disk, manifest.users, refused):
        yield DriftItem("home", home, f"there, of user {user}", NOTHING)
    for problem in refused:
        yield DriftItem("home", problem.target, "there", problem.message)
    for problem in edit.problems:
        kind, _, name = problem.target.partition(" ")
        yield DriftItem(kind, name, "as declared", problem.message)


def _account(action: Action, before: AccountTexts, after: AccountTexts) -> Iterator[DriftItem]:
    """The difference that an edit would undo."""
    pairs: Mapping[str, Tuple[str, str]] = {
        "add": ("there", NOTHING),
        "remove": (NOTHING, "there"),
        "unlock": ("open", "locked"),
        "lock": ("locked", "open"),
    }
    if action.operation in pairs:
        yield DriftItem(action.kind, action.target, *pairs[action.operation])
    elif action.kind == "group":
        joins, _, user = action.because.partition(" ")
        words = (f"member {user}", f"no member {user}")
        yield DriftItem("group", action.target, *(words if joins == "with" else reversed(words)))
    elif SUBORDINATE in action.because:
        gives = not action.because.startswith("no ")
        words = (action.because, f"no {SUBORDINATE}") if gives else (action.because, SUBORDINATE)
        yield DriftItem("user", action.target, *words)
    else:
        old, new = before.fields(PASSWD, action.target) or [], after.fields(PASSWD, action.target) or []
        for name, observed, declared in zip(_ATTRIBUTES, old[2:], new[2:]):
            if observed != declared:
                yield DriftItem("user", action.target, f"{name} {declared}", f"{name} {observed}")


def _sysctl(machine: Machine, manifest: Manifest) -> Iterator[DriftItem]:
    for key, value in sorted(manifest.sysctl.items()):
        observed = machine.system.sysctl(key)
        if observed is None or not is_same(observed, value):
            yield DriftItem("sysctl", key, value, NOTHING if observed is None else observed)


def _owner(mode: int, uid: int, gid: int) -> str:
    return f"mode {mode:04o}, owner {uid}:{gid}"


def _ignored(item: DriftItem, globs: Sequence[str]) -> bool:
    return any(
        fnmatch.fnmatchcase(item.target, glob) or fnmatch.fnmatchcase(f"{item.kind}:{item.target}", glob) for glob in globs
    )
