"""An edit of the account files under way: what becomes of them, what is ours, what is told and what is refused. Pure."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Collection, Final, List, Mapping, Optional, Sequence, Set

from deployer.formats.manifest import Group, User
from deployer.formats.messages import Action, Problem
from deployer.host.account_texts import GROUP, NUMBER, PASSWD, AccountTexts
from deployer.host.ledger import Ledger
from deployer.host.subordinate_ids import SubordinateIds

NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_FIELD: Final = re.compile(r"[^:\x00-\x1f\x7f]*")


@dataclass(frozen=True)
class Elsewhere:
    """Accounts that the host knows, and that its files do not have: a directory's."""

    users: Mapping[str, int] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, int] = dataclasses.field(default_factory=dict)


NOWHERE_ELSE: Final = Elsewhere()


class AccountDraft:
    """The files, the ledger's part of accounts, and the words about both, while they are edited."""

    def __init__(
        self, texts: Mapping[str, str], users: Sequence[User], groups: Sequence[Group], ledger: Ledger, elsewhere: Elsewhere
    ) -> None:
        """`users` and `groups` are those that are declared: their numbers are kept for them."""
        self.files, self.ranges, self.elsewhere = AccountTexts(texts), SubordinateIds(texts), elsewhere
        self.users, self.groups = dict(ledger.users), dict(ledger.groups)
        self.memberships: List[str] = list(ledger.memberships)
        self.subordinates = dict(ledger.subordinates)
        self.actions: List[Action] = []
        self.problems: List[Problem] = []
        self._forget_what_others_made_anew()
        self.reserved_uids = {user.uid for user in users if user.uid >= 0} | set(self.users.values())
        self.reserved_gids = {group.gid for group in groups if group.gid >= 0} | set(self.groups.values())

    def gid(self, group: str) -> Optional[int]:
        """Of a group of the host's, or of one that it knows from elsewhere."""
        gid = self.files.number(GROUP, group)
        return gid if gid is not None else self.elsewhere.groups.get(group)

    def taken(self, path: str) -> Mapping[int, str]:
        """All numbers that are somebody's, by whom."""
        others = self.elsewhere.users if path == PASSWD else self.elsewhere.groups
        return {**{number: name for name, number in others.items()}, **self.files.numbers(path)}

    def note(self, kind: str, operation: str, name: str, because: str) -> None:
        """Tell of a change."""
        self.actions.append(Action(kind, operation, name, because))

    def refuse(self, kind: str, name: str, message: str, remedy: str) -> None:
        """Tell why an account can't be as it is declared."""
        self.problems.append(Problem(f"{kind} {name}", message, remedy))

    def refused(self) -> Set[str]:
        """What anything was told against so far: `user NAME`, `group NAME`."""
        return {problem.target for problem in self.problems}

    def refuse_unfit(self, kind: str, name: str, number: int, fields: Collection[str]) -> bool:
        """Whether a declaration is refused whatever the host has: the superuser's, or with what no line can hold."""
        if name == "root" or number == 0:
            self.refuse(kind, name, "it is the superuser's", "The superuser is the host's own; remove the declaration.")
        elif not NAME.fullmatch(name):
            self.refuse(kind, name, "it is no name for an account", "Use lower-case letters, digits, _ and -.")
        elif not all(_FIELD.fullmatch(field) for field in fields):
            self.refuse(kind, name, "its home, shell or description has a ':' or a control character", "Remove that.")
        else:
            return False
        return True

    def refuse_elsewhere(self, kind: str, name: str, number: int) -> None:
        """An account of that name is a directory's."""
        what = f"this host knows it from a directory, with number {number}, and not from its own files"
        remedy = f"Leave it to that directory: remove it from `{kind}s`. Groups may have such users as members."
        self.refuse(kind, name, what, remedy)

    def _forget_what_others_made_anew(self) -> None:
        """A name that has another number now than we gave it is somebody else's account."""
        for path, ours in ((PASSWD, self.users), (GROUP, self.groups)):
            for name in list(ours):
                found = self.files.fields(path, name)
                if found is not None and found[NUMBER] != str(ours[name]):
                    del ours[name]
