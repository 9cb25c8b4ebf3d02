"""Making the accounts that a manifest declares: the edit is decided by `accounts`, and written here under the files' lock."""

from __future__ import annotations

import dataclasses
from typing import Callable, List

from deployer.formats.manifest import Manifest
from deployer.formats.messages import Action
from deployer.host.account_files import Ids, accounts_lock, read_accounts, write_accounts
from deployer.host.accounts import plan_accounts, purged
from deployer.host.ledger import Ledger, Metadata
from deployer.host.lost import manifest_of
from deployer.host.machine import Machine

_HOME_MODE = 0o750


def apply_accounts(
    machine: Machine, ledger: Ledger, manifest: Manifest, *, note: Callable[[Action], None], restore: bool = False
) -> Ledger:
    """Create, change and lock accounts; with `restore`, remove those that we made. Return what the ledger is to say."""
    if not (manifest.users or manifest.groups or ledger.users or ledger.groups or ledger.memberships):
        return ledger
    with accounts_lock(machine.disk):
        previous = manifest_of(machine, machine.profile.current().system)
        texts, purge = read_accounts(machine.disk), purged(previous.users)
        edit = plan_accounts(texts, manifest.users, manifest.groups, ledger, purge=purge, restore=restore)
        write_accounts(machine.disk, machine.undo, edit.texts)
    for action in edit.actions:
        note(action)
    ledger = dataclasses.replace(ledger, users=edit.users, groups=edit.groups, memberships=edit.memberships)
    return _make_homes(machine, ledger, manifest)


def _make_homes(machine: Machine, ledger: Ledger, manifest: Manifest) -> Ledger:
    ids = Ids(machine.disk)
    made: List[str] = []
    for user in manifest.users:
        if user.create_home and machine.disk.entry(user.home) is None:
            machine.undo.append({"op": "made", "paths": [user.home]})
            owner = Metadata(_HOME_MODE, ids.uid(user.name), ids.gid(user.group or user.name))
            machine.disk.make_directory(user.home, owner)
            made.append(user.home)
    return dataclasses.replace(ledger, homes=tuple(sorted({*ledger.homes, *made})))
