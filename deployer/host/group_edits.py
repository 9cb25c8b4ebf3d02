"""What becomes of groups, and of who is in them. Pure: it edits a draft."""

from __future__ import annotations

from typing import Iterable, Optional, Set, Tuple

from deployer.formats.manifest import Group, User
from deployer.host.account_draft import AccountDraft
from deployer.host.account_numbers import gid_for
from deployer.host.account_texts import GID, GROUP, GSHADOW, NUMBER, PASSWD


def declare_group(draft: AccountDraft, group: Group) -> None:
    """Make it where it is not there; where it is, it must agree."""
    if draft.refuse_unfit("group", group.name, group.gid, ()):
        return
    found = draft.files.fields(GROUP, group.name)
    if found is None and group.name in draft.elsewhere.groups:
        draft.refuse_elsewhere("group", group.name, draft.elsewhere.groups[group.name])
    elif found is None:
        add_group(draft, group.name, group.gid, system=group.system)
    elif found[NUMBER] == "0":
        draft.refuse("group", group.name, "its gid is 0", "Choose another name.")
    elif group.gid >= 0 and found[NUMBER] != str(group.gid):
        what = f"it is there with gid {found[NUMBER]}, and {group.gid} is declared"
        draft.refuse("group", group.name, what, "Files belong to the old number: declare that, or use another name.")


def add_group(draft: AccountDraft, name: str, gid: int = -1, *, system: bool, like: int = -1) -> Optional[int]:
    """Make it, and return its number; None where that is refused. `like`: the number of the user whose own it is."""
    number = gid_for(draft, name, gid, system=system, like=like)
    if number is None:
        return None
    draft.files.add(GROUP, f"{name}:{'x' if draft.files.has(GSHADOW) else '*'}:{number}:")
    draft.files.remove(GSHADOW, name)
    draft.files.add(GSHADOW, f"{name}:!::")
    draft.groups[name] = number
    draft.note("group", "add", name, f"gid {number}")
    return number


def complete_groups(draft: AccountDraft) -> None:
    """An edit that was cut off may have left half of one of ours."""
    for name in draft.groups:
        if draft.files.fields(GROUP, name) is not None and draft.files.fields(GSHADOW, name) is None:
            draft.files.add(GSHADOW, f"{name}:!::")


def remove_group(draft: AccountDraft, name: str) -> None:
    """Remove one of ours, unless it is some user's first."""
    gid = draft.groups[name]
    if any(fields[GID] == str(gid) for fields in draft.files.all(PASSWD)):
        return
    del draft.groups[name]
    was_there = draft.files.fields(GROUP, name) is not None
    draft.files.remove(GROUP, name)
    draft.files.remove(GSHADOW, name)
    draft.memberships = [one for one in draft.memberships if one.partition(":")[2] != name]
    if was_there:
        draft.note("group", "remove", name, f"gid {gid}")


def change_memberships(draft: AccountDraft, users: Iterable[User], groups: Iterable[Group]) -> None:
    """Put into groups whom these declare to be in them, and take out whom we had put there and they do not."""
    wanted: Set[Tuple[str, str]] = {(user.name, group) for user in users for group in user.groups}
    wanted |= {(member, group.name) for group in groups for member in group.members}
    for membership in list(draft.memberships):
        user, _, group = membership.partition(":")
        if (user, group) not in wanted:
            leave(draft, user, group)
    refused = draft.refused()
    for user, group in sorted(wanted):
        if not {f"user {user}", f"group {group}"} & refused and _may_join(draft, user, group):
            _join(draft, user, group)


def leave(draft: AccountDraft, user: str, group: str) -> None:
    """Take a user out of a group that we had put them into."""
    draft.memberships.remove(f"{user}:{group}")
    was_in = user in draft.files.members(GROUP, group)
    for path in (GROUP, GSHADOW):
        draft.files.leave(path, group, user)
    if was_in:
        draft.note("group", "change", group, f"without {user}")


def _may_join(draft: AccountDraft, user: str, group: str) -> bool:
    gid = draft.files.number(GROUP, group)
    if gid is None:
        draft.refuse("user", user, f"there is no group '{group}' for it to be in", f"Declare the group '{group}'.")
    elif gid == 0:
        draft.refuse("user", user, f"the group '{group}' has gid 0", "Superusers are the host's own; remove the membership.")
    elif draft.files.fields(PASSWD, user) is None and user not in draft.elsewhere.users:
        draft.refuse("group", group, f"there is no user '{user}' to be in it", f"Declare the user '{user}'.")
    else:
        return True
    return False


def _join(draft: AccountDraft, user: str, group: str) -> None:
    if user in draft.files.members(GROUP, group):
        return
    for path in (GROUP, GSHADOW):
        draft.files.join(path, group, user)
    if f"{user}:{group}" not in draft.memberships:
        draft.memberships.append(f"{user}:{group}")
    draft.note("group", "change", group, f"with {user}")
