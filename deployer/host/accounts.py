"""Accounts: what becomes of passwd, shadow, group and gshadow. Pure: texts go in, texts come out.

The files are edited here and not by useradd(8) and its kin, which leave backup files behind and decide numbers anew: a
rollback must give back the same bytes, and an account that returns must have the number that its files have.

Accounts that we make are ours, and the ledger says so: their numbers are kept for ever, they are locked when they are no longer
declared, and unlocked when they are again. Accounts that were there before us are adopted where they agree with what is
declared, and refused otherwise; an adopted one is never changed, locked or removed. Superusers are left alone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Collection, Mapping, Sequence, Tuple

from deployer.formats.manifest import Group, User
from deployer.formats.messages import Action, Problem
from deployer.host.account_draft import NOWHERE_ELSE, AccountDraft, Elsewhere
from deployer.host.group_edits import change_memberships, complete_groups, declare_group, leave, remove_group
from deployer.host.ledger import Ledger
from deployer.host.user_edits import change_subordinate_ids, declare_user, drop_user, remove_user, take_subordinate_ids


@dataclass(frozen=True)
class AccountEdit:
    """What is to be written, told and remembered."""

    texts: Mapping[str, str]
    actions: Tuple[Action, ...]
    users: Mapping[str, int]
    """Ours, with their uids, locked ones included."""
    groups: Mapping[str, int]
    memberships: Tuple[str, ...]
    """`USER:GROUP` that we gave."""
    problems: Tuple[Problem, ...] = ()
    subordinates: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Users to the `START:COUNT` of subordinate ids that we gave them."""

    def told_in(self, ledger: Ledger) -> Ledger:
        """The ledger once this edit is made."""
        return dataclasses.replace(
            ledger, users=self.users, groups=self.groups, memberships=self.memberships, subordinates=self.subordinates
        )


def plan_accounts(
    texts: Mapping[str, str],
    users: Sequence[User],
    groups: Sequence[Group],
    ledger: Ledger,
    *,
    purge: Collection[str] = (),
    restore: bool = False,
    elsewhere: Elsewhere = NOWHERE_ELSE,
) -> AccountEdit:
    """The edit that makes the declared accounts, and locks those of ours that are not declared any more.

    `purge` names users that are removed instead of locked. With `restore`, all that we made is removed.
    """
    draft = AccountDraft(texts, users, groups, ledger, elsewhere)
    if restore:
        _remove_all(draft)
    else:
        _declare(draft, {user.name: user for user in users}, {group.name: group for group in groups}, frozenset(purge))
    return AccountEdit(
        {**draft.files.texts(), **draft.ranges.texts()},
        tuple(draft.actions),
        dict(sorted(draft.users.items())),
        dict(sorted(draft.groups.items())),
        tuple(sorted(draft.memberships)),
        tuple(draft.problems),
        dict(sorted(draft.subordinates.items())),
    )


def purged(users: Sequence[User]) -> Tuple[str, ...]:
    """Those that are to be removed once they are not declared any more."""
    return tuple(user.name for user in users if user.purge)


def _declare(draft: AccountDraft, users: Mapping[str, User], groups: Mapping[str, Group], purge: Collection[str]) -> None:
    """Groups first, since users belong to them."""
    for name in sorted(groups):
        declare_group(draft, groups[name])
    for name in sorted(users):
        declare_user(draft, users[name])
    dropped = sorted(set(draft.users) - set(users))
    for name in dropped:
        if name in purge:
            remove_user(draft, name)
        else:
            drop_user(draft, name)
    for name in dropped:
        if name in purge and name in draft.groups and name not in groups:
            remove_group(draft, name)
    complete_groups(draft)
    change_memberships(draft, users.values(), groups.values())
    change_subordinate_ids(draft, [users[name] for name in sorted(users)])


def _remove_all(draft: AccountDraft) -> None:
    """As if we had never been here."""
    for membership in list(draft.memberships):
        leave(draft, *membership.split(":", 1))
    for name in sorted(draft.subordinates):
        take_subordinate_ids(draft, name)
    for name in sorted(draft.users):
        remove_user(draft, name)
    for name in sorted(draft.groups):
        remove_group(draft, name)
