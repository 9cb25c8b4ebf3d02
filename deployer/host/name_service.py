"""Accounts that this host knows from elsewhere than its own files: a directory, sssd, systemd-userdbd.

They are asked for only where nsswitch.conf names such a source, and only for accounts that are about to be made.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Dict, Final, Iterable, List, Mapping, Optional, Sequence

from deployer.errors import DeployerError
from deployer.formats.manifest import Group, User
from deployer.host.account_draft import NAME, Elsewhere
from deployer.host.account_texts import GROUP, PASSWD, AccountTexts
from deployer.host.accounts import plan_accounts
from deployer.host.disk import Disk
from deployer.host.ledger import Ledger
from deployer.host.machine import SystemPort

_SWITCH: Final = "/etc/nsswitch.conf"
_OWN: Final = ("files", "compat", "db")
DYNAMIC_IDS: Final = range(61184, 65520)
"""What systemd gives to running services with `DynamicUser=`: such a name is nobody's account."""
_ROUNDS: Final = 5


@dataclass(frozen=True)
class _Source:
    database: str
    system: Optional[SystemPort]
    """None: the host's own files are all there is."""

    def ask(self, keys: Iterable[str]) -> Dict[str, int]:
        """Name to number of those that are known."""
        wanted = sorted(set(keys))
        found = self.system.accounts(self.database, wanted) if wanted and self.system is not None else {}
        return {name: number for name, number in found.items() if number not in DYNAMIC_IDS}


def accounts_elsewhere(
    disk: Disk, system: SystemPort, texts: Mapping[str, str], users: Sequence[User], groups: Sequence[Group], ledger: Ledger
) -> Elsewhere:
    """What of the declared accounts, or of the numbers that they would get, is somebody's outside the account files.

    Raises `NameServiceSilent` where the source does not answer.
    """
    files = AccountTexts(texts)
    missing_users = {user.name for user in users} | {member for group in groups for member in group.members}
    missing_users = {name for name in missing_users if NAME.fullmatch(name) and files.fields(PASSWD, name) is None}
    missing_groups = {group.name for group in groups} | {name for user in users for name in (user.name, user.group, *user.groups)}
    missing_groups = {name for name in missing_groups if NAME.fullmatch(name) and files.fields(GROUP, name) is None}
    if not (missing_users or missing_groups):
        return Elsewhere()
    passwd, group = (_Source(name, system if _has_others(disk, name) else None) for name in ("passwd", "group"))
    found_users, found_groups = passwd.ask(missing_users), group.ask(missing_groups)
    for _ in range(_ROUNDS if passwd.system or group.system else 0):
        edit = plan_accounts(texts, users, groups, ledger, elsewhere=Elsewhere(found_users, found_groups))
        new_uids = {str(number) for name, number in edit.users.items() if files.fields(PASSWD, name) is None}
        new_gids = {str(number) for name, number in edit.groups.items() if files.fields(GROUP, name) is None}
        more_users, more_groups = passwd.ask(new_uids), group.ask(new_gids)
        if not (set(more_users) - set(found_users) or set(more_groups) - set(found_groups)):
            break
        found_users, found_groups = {**more_users, **found_users}, {**more_groups, **found_groups}
    return Elsewhere(found_users, found_groups)


def _has_others(disk: Disk, database: str) -> bool:
    """Whether a database has sources besides the host's own files."""
    lines: List[str] = []
    with contextlib.suppress(DeployerError, OSError):
        lines = disk.read(_SWITCH).decode(errors="replace").splitlines()
    for line in lines:
        name, _, sources = line.partition("#")[0].partition(":")
        if name.strip() == database:
            return any(word not in _OWN and "=" not in word for word in sources.strip("[] ").split())
    return False
