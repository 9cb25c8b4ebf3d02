"""Which number a new account gets. Pure."""

from __future__ import annotations

from typing import Callable, Collection, Final, Optional

from deployer.formats.manifest import User
from deployer.host.account_draft import AccountDraft
from deployer.host.account_texts import GROUP, PASSWD

SYSTEM_IDS: Final = range(999, 99, -1)
"""From the top down, as useradd(8) does for system accounts."""
LOGIN_IDS: Final = range(1000, 60000)


def uid_for(draft: AccountDraft, user: User, gid: Optional[int]) -> Optional[int]:
    """Of a user whose group has `gid`, or is still to be made. None: refused."""
    return _number(draft, "user", user.name, user.uid, lambda taken: _choose_uid(draft, taken, gid, user.system))


def gid_for(draft: AccountDraft, name: str, declared: int, *, system: bool, like: int) -> Optional[int]:
    """Of a group; where none is declared, `like` its user's where that is free. None: refused."""

    def choose(taken: Collection[int]) -> int:
        busy = {*taken, *draft.reserved_gids}
        return like if like >= 0 and like not in busy else _free(busy, system)

    return _number(draft, "group", name, declared, choose)


def _number(draft: AccountDraft, kind: str, name: str, declared: int, choose: Callable[[Collection[int]], int]) -> Optional[int]:
    """The one that is declared, or was given once, or is free. -1 is none."""
    path, ours, number_of = (PASSWD, draft.users, "uid") if kind == "user" else (GROUP, draft.groups, "gid")
    taken = draft.taken(path)
    number = declared if declared >= 0 else ours.get(name, -1)
    if number in taken and declared < 0:
        _refuse_renamed(draft, kind, name, number, taken[number])
        return None
    if number in taken:
        what = f"{number_of} {number} belongs to {taken[number]}"
        draft.refuse(kind, name, what, f"Declare another {number_of}, or none.")
        return None
    if number < 0:
        number = choose(taken)
    if number < 0:
        others = "accounts" if kind == "user" else "groups"
        draft.refuse(kind, name, f"no {number_of} is free", f"Declare one, or remove {others} that nobody needs.")
        return None
    return number


def _choose_uid(draft: AccountDraft, taken: Collection[int], gid: Optional[int], system: bool) -> int:
    """The number of its group where that is free, or one that is free for a group of its own too."""
    busy = {*taken, *draft.reserved_uids}
    if gid is None:
        return _free({*busy, *draft.taken(GROUP), *draft.reserved_gids}, system)
    return gid if gid in (SYSTEM_IDS if system else LOGIN_IDS) and gid not in busy else _free(busy, system)


def _free(taken: Collection[int], system: bool) -> int:
    """As Debian does: services from the top down, people after the last one. -1: none is free."""
    if system:
        return next((number for number in SYSTEM_IDS if number not in taken), -1)
    after = max((number for number in taken if number in LOGIN_IDS), default=LOGIN_IDS.start - 1) + 1
    return after if after in LOGIN_IDS else next((number for number in LOGIN_IDS if number not in taken), -1)


def _refuse_renamed(draft: AccountDraft, kind: str, name: str, number: int, now: str) -> None:
    what = f"deployer made it with number {number}, which belongs to '{now}' now: somebody renamed it, or gave its number away"
    program = "usermod -l" if kind == "user" else "groupmod -n"
    draft.refuse(kind, name, what, f"Run `{program} {name} {now}` there, or declare `{now}` instead.")
