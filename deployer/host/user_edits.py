"""What becomes of users, and of the subordinate ids that they have. Pure: it edits a draft."""

from __future__ import annotations

from typing import Final, Iterable, Sequence

from deployer.formats.manifest import User
from deployer.host.account_draft import AccountDraft
from deployer.host.account_locks import is_locked, lock, shadow_line, unlock
from deployer.host.account_numbers import uid_for
from deployer.host.account_texts import GECOS, GID, HOME, NUMBER, PASSWD, SHADOW, SHELL
from deployer.host.group_edits import add_group
from deployer.host.subordinate_ids import SUBORDINATE, range_from

_DEFAULT: Final = User("")


def declare_user(draft: AccountDraft, user: User) -> None:
    """Make it where it is not there, change it where it is ours; another must agree."""
    if draft.refuse_unfit("user", user.name, user.uid, (user.home, user.shell, user.description)):
        return
    found = draft.files.fields(PASSWD, user.name)
    if user.group and draft.gid(user.group) is None:
        draft.refuse("user", user.name, f"there is no group '{user.group}'", f"Declare the group '{user.group}'.")
    elif user.group and draft.gid(user.group) == 0 and (found is None or user.name in draft.users):
        what = f"its group '{user.group}' has gid 0"
        draft.refuse("user", user.name, what, "Superusers are the host's own; give it another group.")
    elif found is None and user.name in draft.elsewhere.users:
        draft.refuse_elsewhere("user", user.name, draft.elsewhere.users[user.name])
    elif found is None:
        _add(draft, user)
    elif user.name in draft.users:
        _change(draft, user, found)
    else:
        _adopt(draft, user, found)


def drop_user(draft: AccountDraft, name: str) -> None:
    """Lock one of ours that is not declared any more: its number stays its own."""
    if draft.files.fields(PASSWD, name) is None or is_locked(draft.files, name):
        return
    lock(draft.files, name)
    draft.note("user", "lock", name, "it is no longer declared")


def remove_user(draft: AccountDraft, name: str) -> None:
    """Remove one of ours, with all that it has in the account files."""
    uid = draft.users.pop(name)
    was_there = draft.files.fields(PASSWD, name) is not None
    take_subordinate_ids(draft, name)
    draft.files.remove(PASSWD, name)
    draft.files.remove(SHADOW, name)
    draft.memberships = [one for one in draft.memberships if one.partition(":")[0] != name]
    if was_there:
        draft.files.leave_all(name)
        draft.note("user", "remove", name, f"uid {uid}")


def change_subordinate_ids(draft: AccountDraft, users: Iterable[User]) -> None:
    """Give those that are declared, and take those that we gave and are not."""
    refused = draft.refused()
    for user in users:
        if f"user {user.name}" in refused:
            continue
        if user.subordinate_ids > 0:
            _give_subordinate_ids(draft, user)
        elif user.name in draft.subordinates:
            take_subordinate_ids(draft, user.name)


def take_subordinate_ids(draft: AccountDraft, name: str) -> None:
    """What we gave a user, if anything."""
    given = range_from(draft.subordinates.pop(name, ""))
    if given is not None and draft.ranges.take(name, given):
        draft.note("user", "change", name, f"no {SUBORDINATE}")


def _add(draft: AccountDraft, user: User) -> None:
    gid = draft.gid(user.group or user.name)
    number = uid_for(draft, user, gid)
    if number is None:
        return
    if gid is None:
        gid = add_group(draft, user.name, system=user.system, like=number)
    if gid is None:
        return
    password = "x" if draft.files.has(SHADOW) else "*"
    fields = (user.name, password, str(number), str(gid), user.description, user.home, user.shell)
    draft.files.add(PASSWD, ":".join(fields))
    draft.files.remove(SHADOW, user.name)
    draft.files.add(SHADOW, shadow_line(user))
    draft.users[user.name] = number
    draft.note("user", "add", user.name, f"uid {number}")


def _change(draft: AccountDraft, user: User, found: Sequence[str]) -> None:
    if user.uid >= 0 and found[NUMBER] != str(user.uid):
        what = f"its uid is {found[NUMBER]}, and {user.uid} is declared"
        draft.refuse("user", user.name, what, "Files belong to the old number: declare that, or use another name.")
        return
    gid = draft.gid(user.group or user.name)
    if gid is None:
        gid = add_group(draft, user.name, system=user.system, like=int(found[NUMBER]))
    if gid is None:
        return
    if draft.files.fields(SHADOW, user.name) is None:
        draft.files.add(SHADOW, shadow_line(user))
    was_locked = is_locked(draft.files, user.name)
    if was_locked:
        unlock(draft.files, user.name)
        draft.note("user", "unlock", user.name, "it is declared again")
    now = draft.files.fields(PASSWD, user.name) or found
    wanted = [*now[:GID], str(gid), user.description, user.home, user.shell, *now[SHELL + 1 :]]
    names = {GID: "group", GECOS: "description", HOME: "home", SHELL: "shell"}
    changed = [name for index, name in names.items() if wanted[index] != found[index]]
    if changed:
        draft.files.replace(PASSWD, user.name, ":".join(wanted))
        if not (was_locked and changed == ["shell"]):
            draft.note("user", "change", user.name, ", ".join(changed))


def _adopt(draft: AccountDraft, user: User, found: Sequence[str]) -> None:
    """It was there before us. What is declared must agree; what has its default is not held against it."""
    if found[NUMBER] == "0":
        draft.refuse("user", user.name, "its uid is 0", "Choose another name.")
        return
    gid = draft.gid(user.group) if user.group else None
    pairs = (
        ("uid", found[NUMBER], str(user.uid) if user.uid >= 0 else ""),
        ("gid", found[GID], str(gid) if gid is not None else ""),
        ("home", found[HOME], user.home if user.home != _DEFAULT.home else ""),
        ("shell", found[SHELL], user.shell if user.shell != _DEFAULT.shell else ""),
    )
    differs = [f"{what} {here}" for what, here, declared in pairs if declared and declared != here]
    if differs:
        what = f"it is there already, is not deployer's, and has {' and '.join(differs)}"
        draft.refuse("user", user.name, what, "Declare it as it is on the host, or choose another name.")


def _give_subordinate_ids(draft: AccountDraft, user: User) -> None:
    choice = draft.ranges.choose(user, range_from(draft.subordinates.get(user.name, "")))
    if choice.message:
        draft.refuse("user", user.name, choice.message, choice.remedy)
    elif choice.given is not None:
        draft.subordinates[user.name] = str(choice.given)
        if draft.ranges.give(user.name, choice.given):
            draft.note("user", "change", user.name, f"{SUBORDINATE} {choice.given.start} to {choice.given.end - 1}")
