"""Accounts: what becomes of passwd, shadow, group and gshadow. Pure: texts go in, texts come out.

The files are edited here and not by useradd(8) and its kin, which leave backup files behind and decide numbers anew: a
rollback must give back the same bytes, and an account that returns must have the number that its files have. Lines that are
not ours, comments and NIS entries stay as they are, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Dict, Final, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from deployer.formats.manifest import Group, User
from deployer.formats.messages import Action, Problem
from deployer.host.ledger import Ledger

PASSWD: Final = "/etc/passwd"
SHADOW: Final = "/etc/shadow"
GROUP: Final = "/etc/group"
GSHADOW: Final = "/etc/gshadow"

SYSTEM_IDS: Final = range(999, 99, -1)
"""From the top down, as useradd(8) does for system accounts."""
LOGIN_IDS: Final = range(1000, 60000)
LOCKED: Final = "1"
"""Expired on the second day of 1970: no way of logging in goes past that, also with a key."""
_FIELDS: Final = {PASSWD: 7, SHADOW: 9, GROUP: 4, GSHADOW: 4}
_EXPIRES: Final = 7
_MEMBERS: Final = 3


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


def plan_accounts(
    texts: Mapping[str, str],
    users: Sequence[User],
    groups: Sequence[Group],
    ledger: Ledger,
    *,
    purge: Collection[str] = (),
    restore: bool = False,
) -> AccountEdit:
    """The edit that makes the declared accounts, and locks those of ours that are not declared any more.

    `purge` names users that are removed instead of locked. With `restore`, all that we made is removed.
    """
    edit = _Edit(texts, ledger)
    if restore:
        edit.remove_all()
    else:
        edit.declare(users, groups, frozenset(purge))
    return edit.result()


def purged(users: Sequence[User]) -> Tuple[str, ...]:
    """Those that are to be removed once they are not declared any more."""
    return tuple(user.name for user in users if user.purge)


class _Table:
    """One file: lines with fields, kept in order."""

    def __init__(self, path: str, text: Optional[str]) -> None:
        self.path, self.missing = path, text is None
        self.lines = (text or "").split("\n")
        self._ends = bool(self.lines) and self.lines[-1] == ""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def find(self, name: str) -> Optional[List[str]]:
        index = self._index(name)
        return None if index is None else self.lines[index].split(":")

    def put(self, fields: Sequence[str]) -> None:
        """Replace the line of this name, or add one at the end."""
        if self.missing:
            return
        index, line = self._index(fields[0]), ":".join(fields)
        if index is not None:
            self.lines[index] = line
        elif self._ends:
            self.lines.insert(len(self.lines) - 1, line)
        else:
            self.lines.append(line)

    def remove(self, name: str) -> bool:
        index = self._index(name)
        if index is not None:
            del self.lines[index]
        return index is not None

    def rows(self) -> Iterator[List[str]]:
        for line in self.lines:
            fields = line.split(":")
            if len(fields) >= _FIELDS[self.path] and line[:1] not in ("#", "+", "-"):
                yield fields

    def _index(self, name: str) -> Optional[int]:
        prefix = name + ":"
        return next((index for index, line in enumerate(self.lines) if line.startswith(prefix)), None)


class _Edit:
    """The four files, and what happens to them."""

    def __init__(self, texts: Mapping[str, str], ledger: Ledger) -> None:
        self._given = texts
        self._tables = {path: _Table(path, texts.get(path)) for path in (PASSWD, SHADOW, GROUP, GSHADOW)}
        self._users: Dict[str, int] = dict(ledger.users)
        self._groups: Dict[str, int] = dict(ledger.groups)
        self._memberships: Set[str] = set(ledger.memberships)
        self._actions: List[Action] = []
        self._problems: List[Problem] = []

    def result(self) -> AccountEdit:
        texts = {path: table.text for path, table in self._tables.items() if not table.missing}
        changed = {path: text for path, text in texts.items() if text != self._given.get(path)}
        return AccountEdit(
            {**self._given, **changed},
            tuple(self._actions),
            dict(sorted(self._users.items())),
            dict(sorted(self._groups.items())),
            tuple(sorted(self._memberships)),
            tuple(self._problems),
        )

    def declare(self, users: Sequence[User], groups: Sequence[Group], purge: Collection[str]) -> None:
        wanted_groups = {group.name: group for group in groups}
        for user in users:
            if not user.group:
                wanted_groups.setdefault(user.name, Group(user.name, system=user.system))
        for group in wanted_groups.values():
            self._group(group)
        for user in users:
            self._user(user)
        memberships = {f"{user.name}:{group}" for user in users for group in user.groups}
        memberships |= {f"{member}:{group.name}" for group in groups for member in group.members}
        for membership in sorted(memberships):
            self._join(*membership.split(":", 1))
        for membership in sorted(self._memberships - memberships):
            self._leave(*membership.split(":", 1))
        declared = {user.name for user in users}
        for name in sorted(set(self._users) - declared):
            if name in purge:
                self._remove_user(name)
            else:
                self._lock(name)
        for name in sorted(set(self._groups) - set(wanted_groups)):
            self._remove_group(name)

    def remove_all(self) -> None:
        for membership in sorted(self._memberships):
            self._leave(*membership.split(":", 1))
        for name in sorted(self._users):
            self._remove_user(name)
        for name in sorted(self._groups):
            self._remove_group(name)
        self._groups = {}

    def _group(self, group: Group) -> None:
        line = self._tables[GROUP].find(group.name)
        if line is not None:
            if group.gid not in (-1, _number(line[2])):
                self._refuse("group", group.name, f"it is there with gid {line[2]}, and {group.gid} is declared")
            return
        gid = group.gid if group.gid >= 0 else self._free(self._groups.get(group.name), system=group.system)
        if gid < 0 or gid in self._numbers(GROUP):
            self._refuse("group", group.name, "there is no free gid" if gid < 0 else f"its gid {gid} is taken")
            return
        self._tables[GROUP].put([group.name, "x", str(gid), ""])
        self._tables[GSHADOW].put([group.name, "!", "", ""])
        self._groups[group.name] = gid
        self._note("group", "add", group.name, f"gid {gid}")

    def _user(self, user: User) -> None:
        primary = self._tables[GROUP].find(user.group or user.name)
        if primary is None:
            if user.group:
                self._refuse("user", user.name, f"its group '{user.group}' neither exists nor is declared")
            return
        line = self._tables[PASSWD].find(user.name)
        if line is None:
            self._create(user, primary[2])
        elif user.name in self._users:
            self._change(user, line, primary[2])
        else:
            self._adopt(user, line, primary[2])

    def _create(self, user: User, gid: str) -> None:
        uid = user.uid if user.uid >= 0 else self._free(self._users.get(user.name, _number(gid)), system=user.system)
        if uid < 0 or uid in self._numbers(PASSWD):
            self._refuse("user", user.name, "there is no free uid" if uid < 0 else f"its uid {uid} is taken")
            return
        self._tables[PASSWD].put([user.name, "x", str(uid), gid, user.description, user.home, user.shell])
        self._tables[SHADOW].put([user.name, "!", "", "", "", "", "", "", ""])
        self._users[user.name] = uid
        self._note("user", "add", user.name, f"uid {uid}")

    def _change(self, user: User, line: List[str], gid: str) -> None:
        if user.uid not in (-1, _number(line[2])):
            self._refuse("user", user.name, f"it has uid {line[2]}, and {user.uid} is declared; files belong to the old number")
            return
        following = [*line[:3], gid, user.description, user.home, user.shell]
        if following != line[:7]:
            self._tables[PASSWD].put(following)
            names = ("group", "description", "home", "shell")
            because = ", ".join(name for name, old, new in zip(names, line[3:7], following[3:]) if old != new)
            self._note("user", "change", user.name, because)
        shadow = self._tables[SHADOW].find(user.name)
        if shadow is not None and len(shadow) > _EXPIRES and shadow[_EXPIRES] == LOCKED:
            shadow[_EXPIRES] = ""
            shadow[1] = shadow[1][1:] if shadow[1].startswith("!!") or shadow[1][1:2] == "$" else shadow[1]
            self._tables[SHADOW].put(shadow)
            self._note("user", "unlock", user.name)

    def _adopt(self, user: User, line: List[str], gid: str) -> None:
        differs = [
            f"{what} {found}"
            for what, found, declared in (
                ("uid", line[2], str(user.uid) if user.uid >= 0 else line[2]),
                ("gid", line[3], gid),
                ("home", line[5], user.home),
                ("shell", line[6], user.shell),
            )
            if found != declared
        ]
        if differs:
            self._refuse("user", user.name, f"it is there already, is not deployer's, and differs: {', '.join(differs)}")

    def _join(self, user: str, group: str) -> None:
        line = self._tables[GROUP].find(group)
        if line is None:
            self._refuse("user", user, f"there is no group '{group}' for it to be in")
            return
        if user in _members(line):
            return
        self._with_members(group, [*_members(line), user])
        self._memberships.add(f"{user}:{group}")
        self._note("group", "change", group, f"with {user}")

    def _leave(self, user: str, group: str) -> None:
        self._memberships.discard(f"{user}:{group}")
        line = self._tables[GROUP].find(group)
        if line is not None and user in _members(line):
            self._with_members(group, [member for member in _members(line) if member != user])
            self._note("group", "change", group, f"without {user}")

    def _with_members(self, group: str, members: Sequence[str]) -> None:
        for path in (GROUP, GSHADOW):
            line = self._tables[path].find(group)
            if line is not None and len(line) > _MEMBERS:
                line[_MEMBERS] = ",".join(members)
                self._tables[path].put(line)

    def _lock(self, name: str) -> None:
        shadow = self._tables[SHADOW].find(name)
        if shadow is None or len(shadow) <= _EXPIRES or shadow[_EXPIRES] == LOCKED:
            return
        shadow[_EXPIRES] = LOCKED
        shadow[1] = "!" + shadow[1]
        self._tables[SHADOW].put(shadow)
        self._note("user", "lock", name, "it is not declared any more")

    def _remove_user(self, name: str) -> None:
        self._users.pop(name, None)
        self._tables[SHADOW].remove(name)
        if self._tables[PASSWD].remove(name):
            self._note("user", "remove", name)

    def _remove_group(self, name: str) -> None:
        line = self._tables[GROUP].find(name)
        if line is None or any(row[3] == line[2] for row in self._tables[PASSWD].rows()):
            return
        self._tables[GSHADOW].remove(name)
        self._tables[GROUP].remove(name)
        self._note("group", "remove", name)

    def _free(self, wanted: Optional[int], *, system: bool) -> int:
        """The number that an account had, where nobody else has it; else one that neither users nor groups use; -1: none."""
        taken = self._numbers(PASSWD) | self._numbers(GROUP)
        if wanted is not None and wanted >= 0 and (wanted not in taken or self._is_own_group(wanted)):
            return wanted
        reserved = set(self._users.values()) | set(self._groups.values())
        return next((number for number in (SYSTEM_IDS if system else LOGIN_IDS) if number not in taken | reserved), -1)

    def _is_own_group(self, number: int) -> bool:
        return number not in self._numbers(PASSWD) and number in self._groups.values()

    def _numbers(self, path: str) -> Set[int]:
        return {_number(row[2]) for row in self._tables[path].rows()}

    def _note(self, kind: str, operation: str, name: str, because: str = "") -> None:
        self._actions.append(Action(kind, operation, name, because))

    def _refuse(self, kind: str, name: str, message: str) -> None:
        remedy = f"Declare the {kind} as it is on the host, or choose another name."
        self._problems.append(Problem(f"{kind} {name}", message, remedy))


def _members(line: Sequence[str]) -> List[str]:
    return [name for name in line[_MEMBERS].split(",") if name] if len(line) > _MEMBERS else []


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else -1
