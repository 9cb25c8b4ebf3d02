"""Accounts: what becomes of passwd, shadow, group and gshadow. Pure: texts go in, texts come out.

The files are edited here and not by useradd(8) and its kin, which leave backup files behind and decide numbers anew: a
rollback must give back the same bytes, and an account that returns must have the number that its files have.

Accounts that we make are ours, and the ledger says so: their numbers are kept for ever, they are locked when they are no longer
declared, and unlocked when they are again. Accounts that were there before us are adopted where they agree with what is
declared, and refused otherwise; an adopted one is never changed, locked or removed. Superusers are left alone.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Callable, Collection, Final, List, Mapping, Optional, Sequence, Set, Tuple

from deployer.formats.manifest import Group, User
from deployer.formats.messages import Action, Problem
from deployer.host.account_texts import GROUP, GSHADOW, PASSWD, SHADOW, AccountTexts
from deployer.host.ledger import Ledger
from deployer.host.subordinate_ids import SubordinateIds, range_from

SYSTEM_IDS: Final = range(999, 99, -1)
"""From the top down, as useradd(8) does for system accounts."""
LOGIN_IDS: Final = range(1000, 60000)
LOCKED: Final = "!"
"""Before the password of an account that is locked."""
EXPIRED: Final = "1"
"""Expired on the second day of 1970: no way of logging in goes past that, also with a key."""
NO_SHELL: Final = "/usr/sbin/nologin"
SUBORDINATE: Final = "subordinate ids"
"""What an action says of them."""
NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_FIELD: Final = re.compile(r"[^:\x00-\x1f\x7f]*")
_PASSWORD, _NUMBER, _GID, _GECOS, _HOME, _SHELL, _EXPIRES = 1, 2, 3, 4, 5, 6, 7
_DEFAULT: Final = User("")


@dataclass(frozen=True)
class Elsewhere:
    """Accounts that the host knows, and that its files do not have: a directory's."""

    users: Mapping[str, int] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, int] = dataclasses.field(default_factory=dict)


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


NOWHERE_ELSE: Final = Elsewhere()


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
    edit = _Edit(texts, users, groups, ledger, elsewhere)
    if restore:
        edit.remove_all()
    else:
        edit.declare(frozenset(purge))
    return edit.result()


def purged(users: Sequence[User]) -> Tuple[str, ...]:
    """Those that are to be removed once they are not declared any more."""
    return tuple(user.name for user in users if user.purge)


class _Edit:
    """The four files, and what happens to them."""

    def __init__(
        self,
        texts: Mapping[str, str],
        users: Sequence[User],
        groups: Sequence[Group],
        ledger: Ledger,
        elsewhere: Elsewhere,
    ) -> None:
        self._files, self._subordinate, self._elsewhere = AccountTexts(texts), SubordinateIds(texts), elsewhere
        self._subordinates = dict(ledger.subordinates)
        self._wanted_users = {user.name: user for user in users}
        self._wanted_groups = {group.name: group for group in groups}
        self._users, self._groups = dict(ledger.users), dict(ledger.groups)
        self._memberships = list(ledger.memberships)
        self._actions: List[Action] = []
        self._problems: List[Problem] = []
        self._forget_what_others_made_anew()
        self._reserved_uids = {user.uid for user in users if user.uid >= 0} | set(self._users.values())
        self._reserved_gids = {group.gid for group in groups if group.gid >= 0} | set(self._groups.values())

    def declare(self, purge: Collection[str]) -> None:
        """Groups first, since users belong to them."""
        for name in sorted(self._wanted_groups):
            self._declare_group(self._wanted_groups[name])
        for name in sorted(self._wanted_users):
            self._declare_user(self._wanted_users[name])
        dropped = sorted(set(self._users) - set(self._wanted_users))
        for name in dropped:
            if name in purge:
                self._remove_user(name)
            else:
                self._drop_user(name)
        for name in dropped:
            if name in purge and name in self._groups and name not in self._wanted_groups:
                self._remove_group(name)
        self._complete_groups()
        self._change_memberships()
        self._change_subordinate_ids()

    def remove_all(self) -> None:
        """As if we had never been here."""
        for membership in list(self._memberships):
            self._leave(*membership.split(":", 1))
        for name in sorted(self._subordinates):
            self._take_subordinate_ids(name)
        for name in sorted(self._users):
            self._remove_user(name)
        for name in sorted(self._groups):
            self._remove_group(name)

    def result(self) -> AccountEdit:
        return AccountEdit(
            {**self._files.texts(), **self._subordinate.texts()},
            tuple(self._actions),
            dict(sorted(self._users.items())),
            dict(sorted(self._groups.items())),
            tuple(sorted(self._memberships)),
            tuple(self._problems),
            dict(sorted(self._subordinates.items())),
        )

    # -- groups ----------------------------------------------------------------------------------------------------------

    def _declare_group(self, group: Group) -> None:
        if self._is_refused("group", group.name, group.gid, ()):
            return
        found = self._files.fields(GROUP, group.name)
        if found is None and group.name in self._elsewhere.groups:
            self._refuse_elsewhere("group", group.name, self._elsewhere.groups[group.name])
        elif found is None:
            self._add_group(group.name, group.gid, group.system)
        elif found[_NUMBER] == "0":
            self._refuse("group", group.name, "its gid is 0", "Choose another name.")
        elif group.gid >= 0 and found[_NUMBER] != str(group.gid):
            what = f"it is there with gid {found[_NUMBER]}, and {group.gid} is declared"
            self._refuse("group", group.name, what, "Files belong to the old number: declare that, or use another name.")

    def _add_group(self, name: str, gid: int, system: bool, like: int = -1) -> Optional[int]:
        taken = self._taken(GROUP)
        number = gid if gid >= 0 else self._groups.get(name, -1)
        if number in taken and gid < 0:
            self._refuse_renamed("group", name, number, taken[number])
            return None
        if number in taken:
            self._refuse("group", name, f"gid {number} belongs to {taken[number]}", "Declare another gid, or none.")
            return None
        busy = {*taken, *self._reserved_gids}
        if number < 0:
            number = like if like >= 0 and like not in busy else _free(busy, system)
        if number < 0:
            self._refuse("group", name, "no gid is free", "Declare one, or remove groups that nobody needs.")
            return None
        self._files.add(GROUP, f"{name}:{'x' if self._files.has(GSHADOW) else '*'}:{number}:")
        self._files.remove(GSHADOW, name)
        self._files.add(GSHADOW, f"{name}:!::")
        self._groups[name] = number
        self._note("group", "add", name, f"gid {number}")
        return number

    def _complete_groups(self) -> None:
        """An edit that was cut off may have left half of one of ours."""
        for name in self._groups:
            if self._files.fields(GROUP, name) is not None and self._files.fields(GSHADOW, name) is None:
                self._files.add(GSHADOW, f"{name}:!::")

    def _remove_group(self, name: str) -> None:
        gid = self._groups[name]
        if any(fields[_GID] == str(gid) for fields in self._files.all(PASSWD)):
            return
        del self._groups[name]
        was_there = self._files.fields(GROUP, name) is not None
        self._files.remove(GROUP, name)
        self._files.remove(GSHADOW, name)
        self._memberships = [one for one in self._memberships if one.partition(":")[2] != name]
        if was_there:
            self._note("group", "remove", name, f"gid {gid}")

    # -- users -----------------------------------------------------------------------------------------------------------

    def _declare_user(self, user: User) -> None:
        if self._is_refused("user", user.name, user.uid, (user.home, user.shell, user.description)):
            return
        found = self._files.fields(PASSWD, user.name)
        if user.group and self._gid(user.group) is None:
            self._refuse("user", user.name, f"there is no group '{user.group}'", f"Declare the group '{user.group}'.")
        elif user.group and self._gid(user.group) == 0 and (found is None or user.name in self._users):
            what = f"its group '{user.group}' has gid 0"
            self._refuse("user", user.name, what, "Superusers are the host's own; give it another group.")
        elif found is None and user.name in self._elsewhere.users:
            self._refuse_elsewhere("user", user.name, self._elsewhere.users[user.name])
        elif found is None:
            self._add_user(user)
        elif user.name in self._users:
            self._change_user(user, found)
        else:
            self._adopt(user, found)

    def _add_user(self, user: User) -> None:
        taken = self._taken(PASSWD)
        gid = self._gid(user.group or user.name)
        number = user.uid if user.uid >= 0 else self._users.get(user.name, -1)
        if number in taken and user.uid < 0:
            self._refuse_renamed("user", user.name, number, taken[number])
            return
        if number in taken:
            self._refuse("user", user.name, f"uid {number} belongs to {taken[number]}", "Declare another uid, or none.")
            return
        if number < 0:
            number = self._choose_uid(user.system, taken, gid)
        if number < 0:
            self._refuse("user", user.name, "no uid is free", "Declare one, or remove accounts that nobody needs.")
            return
        if gid is None:
            gid = self._add_group(user.name, -1, user.system, like=number)
        if gid is None:
            return
        password = "x" if self._files.has(SHADOW) else "*"
        fields = (user.name, password, str(number), str(gid), user.description, user.home, user.shell)
        self._files.add(PASSWD, ":".join(fields))
        self._files.remove(SHADOW, user.name)
        self._files.add(SHADOW, _shadow(user))
        self._users[user.name] = number
        self._note("user", "add", user.name, f"uid {number}")

    def _choose_uid(self, system: bool, taken: Collection[int], gid: Optional[int]) -> int:
        """The number of its group where that is free, or one that is free for a group of its own too."""
        busy = {*taken, *self._reserved_uids}
        if gid is None:
            return _free({*busy, *self._taken(GROUP), *self._reserved_gids}, system)
        return gid if gid in (SYSTEM_IDS if system else LOGIN_IDS) and gid not in busy else _free(busy, system)

    def _change_user(self, user: User, found: Sequence[str]) -> None:
        if user.uid >= 0 and found[_NUMBER] != str(user.uid):
            what = f"its uid is {found[_NUMBER]}, and {user.uid} is declared"
            self._refuse("user", user.name, what, "Files belong to the old number: declare that, or use another name.")
            return
        gid = self._gid(user.group or user.name)
        if gid is None:
            gid = self._add_group(user.name, -1, user.system, like=int(found[_NUMBER]))
        if gid is None:
            return
        if self._files.fields(SHADOW, user.name) is None:
            self._files.add(SHADOW, _shadow(user))
        wanted = [*found[:_GID], str(gid), user.description, user.home, user.shell, *found[_SHELL + 1 :]]
        was_locked = self._is_locked(user.name)
        if was_locked:
            self._edit_password(user.name, lambda word: word[1:] if word.startswith(LOCKED) and len(word) > 1 else word, "")
            self._note("user", "unlock", user.name, "it is declared again")
        names = {_GID: "group", _GECOS: "description", _HOME: "home", _SHELL: "shell"}
        changed = [name for index, name in names.items() if wanted[index] != found[index]]
        if changed:
            self._files.replace(PASSWD, user.name, ":".join(wanted) if not was_locked else ":".join(self._but_password(wanted)))
            if not (was_locked and changed == ["shell"]):
                self._note("user", "change", user.name, ", ".join(changed))

    def _adopt(self, user: User, found: Sequence[str]) -> None:
        """It was there before us. What is declared must agree; what has its default is not held against it."""
        if found[_NUMBER] == "0":
            self._refuse("user", user.name, "its uid is 0", "Choose another name.")
            return
        gid = self._gid(user.group) if user.group else None
        pairs = (
            ("uid", found[_NUMBER], str(user.uid) if user.uid >= 0 else ""),
            ("gid", found[_GID], str(gid) if gid is not None else ""),
            ("home", found[_HOME], user.home if user.home != _DEFAULT.home else ""),
            ("shell", found[_SHELL], user.shell if user.shell != _DEFAULT.shell else ""),
        )
        differs = [f"{what} {here}" for what, here, declared in pairs if declared and declared != here]
        if differs:
            what = f"it is there already, is not deployer's, and has {' and '.join(differs)}"
            self._refuse("user", user.name, what, "Declare it as it is on the host, or choose another name.")

    def _drop_user(self, name: str) -> None:
        found = self._files.fields(PASSWD, name)
        if found is None or self._is_locked(name):
            return
        self._files.replace(PASSWD, name, ":".join([*found[:_SHELL], NO_SHELL, *found[_SHELL + 1 :]]))
        self._edit_password(name, lambda word: LOCKED + word if word != LOCKED else word, EXPIRED)
        self._note("user", "lock", name, "it is no longer declared")

    def _remove_user(self, name: str) -> None:
        uid = self._users.pop(name)
        was_there = self._files.fields(PASSWD, name) is not None
        self._take_subordinate_ids(name)
        self._files.remove(PASSWD, name)
        self._files.remove(SHADOW, name)
        self._memberships = [one for one in self._memberships if one.partition(":")[0] != name]
        if was_there:
            self._files.leave_all(name)
            self._note("user", "remove", name, f"uid {uid}")

    # -- memberships -----------------------------------------------------------------------------------------------------

    def _change_memberships(self) -> None:
        wanted: Set[Tuple[str, str]] = {(user.name, group) for user in self._wanted_users.values() for group in user.groups}
        wanted |= {(member, group.name) for group in self._wanted_groups.values() for member in group.members}
        for membership in list(self._memberships):
            user, _, group = membership.partition(":")
            if (user, group) not in wanted:
                self._leave(user, group)
        refused = {problem.target for problem in self._problems}
        for user, group in sorted(wanted):
            if not {f"user {user}", f"group {group}"} & refused and self._may_join(user, group):
                self._join(user, group)

    def _may_join(self, user: str, group: str) -> bool:
        gid = self._files.number(GROUP, group)
        if gid is None:
            self._refuse("user", user, f"there is no group '{group}' for it to be in", f"Declare the group '{group}'.")
        elif gid == 0:
            self._refuse("user", user, f"the group '{group}' has gid 0", "Superusers are the host's own; remove the membership.")
        elif self._files.fields(PASSWD, user) is None and user not in self._elsewhere.users:
            self._refuse("group", group, f"there is no user '{user}' to be in it", f"Declare the user '{user}'.")
        else:
            return True
        return False

    def _join(self, user: str, group: str) -> None:
        if user in self._files.members(GROUP, group):
            return
        for path in (GROUP, GSHADOW):
            self._files.join(path, group, user)
        if f"{user}:{group}" not in self._memberships:
            self._memberships.append(f"{user}:{group}")
        self._note("group", "change", group, f"with {user}")

    def _leave(self, user: str, group: str) -> None:
        self._memberships.remove(f"{user}:{group}")
        was_in = user in self._files.members(GROUP, group)
        for path in (GROUP, GSHADOW):
            self._files.leave(path, group, user)
        if was_in:
            self._note("group", "change", group, f"without {user}")

    # -- subordinate ids -------------------------------------------------------------------------------------------------

    def _change_subordinate_ids(self) -> None:
        refused = {problem.target for problem in self._problems}
        for name, user in sorted(self._wanted_users.items()):
            if f"user {name}" in refused:
                continue
            if user.subordinate_ids > 0:
                self._give_subordinate_ids(user)
            elif name in self._subordinates:
                self._take_subordinate_ids(name)

    def _give_subordinate_ids(self, user: User) -> None:
        choice = self._subordinate.choose(user, range_from(self._subordinates.get(user.name, "")))
        if choice.message:
            self._refuse("user", user.name, choice.message, choice.remedy)
        elif choice.given is not None:
            self._subordinates[user.name] = str(choice.given)
            if self._subordinate.give(user.name, choice.given):
                self._note("user", "change", user.name, f"{SUBORDINATE} {choice.given.start} to {choice.given.end - 1}")

    def _take_subordinate_ids(self, name: str) -> None:
        given = range_from(self._subordinates.pop(name, ""))
        if given is not None and self._subordinate.take(name, given):
            self._note("user", "change", name, f"no {SUBORDINATE}")

    # -- details ---------------------------------------------------------------------------------------------------------

    def _gid(self, group: str) -> Optional[int]:
        """Of a group of the host's, or of one that it knows from elsewhere."""
        gid = self._files.number(GROUP, group)
        return gid if gid is not None else self._elsewhere.groups.get(group)

    def _taken(self, path: str) -> Mapping[int, str]:
        """All numbers that are somebody's, by whom."""
        others = self._elsewhere.users if path == PASSWD else self._elsewhere.groups
        return {**{number: name for name, number in others.items()}, **self._files.numbers(path)}

    def _refuse_elsewhere(self, kind: str, name: str, number: int) -> None:
        what = f"this host knows it from a directory, with number {number}, and not from its own files"
        remedy = f"Leave it to that directory: remove it from `{kind}s`. Groups may have such users as members."
        self._refuse(kind, name, what, remedy)

    def _refuse_renamed(self, kind: str, name: str, number: int, now: str) -> None:
        what = (
            f"deployer made it with number {number}, which belongs to '{now}' now: somebody renamed it, or gave its number away"
        )
        program = "usermod -l" if kind == "user" else "groupmod -n"
        self._refuse(kind, name, what, f"Run `{program} {name} {now}` there, or declare `{now}` instead.")

    def _forget_what_others_made_anew(self) -> None:
        """A name that has another number now than we gave it is somebody else's account."""
        for path, ours in ((PASSWD, self._users), (GROUP, self._groups)):
            for name in list(ours):
                found = self._files.fields(path, name)
                if found is not None and found[_NUMBER] != str(ours[name]):
                    del ours[name]

    def _is_locked(self, name: str) -> bool:
        """By us: nobody else lets accounts expire on that day."""
        shadow = self._files.fields(SHADOW, name)
        if shadow is None:
            passwd = self._files.fields(PASSWD, name)
            return passwd is not None and passwd[_PASSWORD].startswith(LOCKED)
        return len(shadow) > _EXPIRES and shadow[_EXPIRES] == EXPIRED

    def _edit_password(self, name: str, edit: Callable[[str], str], expires: str) -> None:
        path = SHADOW if self._files.fields(SHADOW, name) is not None else PASSWD
        fields = list(self._files.fields(path, name) or ())
        fields[_PASSWORD] = edit(fields[_PASSWORD])
        if path == SHADOW:
            fields += [""] * (_EXPIRES + 2 - len(fields))
            fields[_EXPIRES] = expires
        self._files.replace(path, name, ":".join(fields))

    def _but_password(self, fields: Sequence[str]) -> List[str]:
        """With the password that the line has by now."""
        now = self._files.fields(PASSWD, fields[0]) or fields
        return [fields[0], now[_PASSWORD], *fields[_PASSWORD + 1 :]]

    def _is_refused(self, kind: str, name: str, number: int, fields: Collection[str]) -> bool:
        if name == "root" or number == 0:
            self._refuse(kind, name, "it is the superuser's", "The superuser is the host's own; remove the declaration.")
        elif not NAME.fullmatch(name):
            self._refuse(kind, name, "it is no name for an account", "Use lower-case letters, digits, _ and -.")
        elif not all(_FIELD.fullmatch(field) for field in fields):
            self._refuse(kind, name, "its home, shell or description has a ':' or a control character", "Remove that.")
        else:
            return False
        return True

    def _refuse(self, kind: str, name: str, message: str, remedy: str) -> None:
        self._problems.append(Problem(f"{kind} {name}", message, remedy))

    def _note(self, kind: str, operation: str, name: str, because: str) -> None:
        self._actions.append(Action(kind, operation, name, because))


def _shadow(user: User) -> str:
    """Nobody can log in with a password until somebody sets one on the host; a person's key is let in, a service's is not."""
    return f"{user.name}:{LOCKED if user.system else '*'}:::::::"


def _free(taken: Collection[int], system: bool) -> int:
    """As Debian does: services from the top down, people after the last one. -1: none is free."""
    if system:
        return next((number for number in SYSTEM_IDS if number not in taken), -1)
    after = max((number for number in taken if number in LOGIN_IDS), default=LOGIN_IDS.start - 1) + 1
    return after if after in LOGIN_IDS else next((number for number in LOGIN_IDS if number not in taken), -1)
