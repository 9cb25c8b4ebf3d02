"""Making the accounts that a manifest declares: the edit is decided by `accounts`, and written here under the files' lock."""

from __future__ import annotations

import dataclasses
from typing import Callable, Dict, Iterable, Iterator, List, Tuple

from deployer.formats.manifest import Manifest, User
from deployer.formats.messages import Action, Problem
from deployer.host.account_files import AccountsChanged, Ids, accounts_lock, read_accounts, write_accounts
from deployer.host.accounts import plan_accounts, purged
from deployer.host.disk import Disk
from deployer.host.disk_entry import DIRECTORY
from deployer.host.disk_walk import PathRefused
from deployer.host.ledger import Ledger, Metadata
from deployer.host.lost import manifest_of
from deployer.host.machine import Machine
from deployer.host.name_service import accounts_elsewhere
from deployer.host.refusals import ActivationRefused

_HOME_MODE = 0o750
_ATTEMPTS = 5
"""For editors that take no lock."""


def apply_accounts(
    machine: Machine, ledger: Ledger, manifest: Manifest, *, note: Callable[[Action], None], restore: bool = False
) -> Ledger:
    """Create, change and lock accounts; with `restore`, remove those that we made. Return what the ledger is to say."""
    if not (manifest.users or manifest.groups or ledger.users or ledger.groups or ledger.memberships):
        return ledger
    previous = manifest_of(machine, machine.profile.current().system)
    actions: Dict[Action, None] = {}
    with accounts_lock(machine.disk):
        for attempt in range(1, _ATTEMPTS + 1):
            texts = read_accounts(machine.disk)
            edit = plan_accounts(
                texts,
                manifest.users,
                manifest.groups,
                ledger,
                purge=purged(previous.users),
                restore=restore,
                elsewhere=accounts_elsewhere(machine.disk, machine.system, texts, manifest.users, manifest.groups, ledger),
            )
            if edit.problems:
                raise ActivationRefused(edit.problems)
            actions.update(dict.fromkeys(edit.actions))
            ledger = edit.told_in(ledger)  # before it is written: what a cut-off attempt made is ours
            try:
                changed = write_accounts(machine.disk, machine.undo, texts, edit.texts, f".{attempt}")
                break
            except AccountsChanged:
                if attempt == _ATTEMPTS:
                    raise
    if changed:
        machine.system.forget_accounts()
    for action in actions:
        note(action)
    return _make_homes(machine, ledger, manifest, note)


def keeps_accounts(previous: Manifest, following: Manifest) -> bool:
    """Whether what runs by the previous generation keeps all accounts that it has, as they are: then new ones may come before it
    stops."""
    kept = all(user in following.users for user in previous.users)
    return kept and all(group in following.groups for group in previous.groups)


def missing_homes(disk: Disk, users: Iterable[User], problems: List[Problem]) -> Iterator[Tuple[str, str]]:
    """Home directories that are to be made, with their users; and why one cannot be."""
    for user in users:
        if not user.create_home:
            continue
        above = user.home.rpartition("/")[0] or "/"
        try:
            if disk.entry(user.home) is not None:
                continue
            parent = disk.entry(above) if above != "/" else None
            if above == "/" or (parent is not None and parent.kind == DIRECTORY):
                yield user.home, user.name
                continue
            reason = f"{above}, in which it is to be, is not there"
        except PathRefused as error:
            reason = error.message
        problems.append(Problem(f"home of user {user.name}", reason, "Make the directory above it, or declare another `home`."))


def home_action(home: str, user: str) -> Action:
    """What is told of making it."""
    return Action("home", "add", home, f"of user {user}")


def _make_homes(machine: Machine, ledger: Ledger, manifest: Manifest, note: Callable[[Action], None]) -> Ledger:
    ids = Ids(machine.disk)
    users = {user.name: user for user in manifest.users}
    made: List[str] = []
    for home, name in missing_homes(machine.disk, manifest.users, []):
        machine.undo.append({"op": "made", "paths": [home]})
        owner = Metadata(_HOME_MODE, ids.uid(name), ids.gid(users[name].group or name))
        machine.disk.make_directory(home, owner)
        made.append(home)
        note(home_action(home, name))
    machine.system.relabel(made)
    return dataclasses.replace(ledger, homes=tuple(sorted({*ledger.homes, *made})))
