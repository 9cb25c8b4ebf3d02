"""Units of users: what is declared for every user's own systemd, switched for those whose manager runs.

Others take up what is declared when they log in, or at boot where they linger. A unit of that name in a user's home goes before
ours, and is left alone. A user can make a unit fail, or their manager hang: that takes the host back only where the account is
one that the configuration declares. Of all others it is told.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, Final, Iterator, List, Mapping, Sequence, Tuple

from deployer.errors import DeployerError
from deployer.formats.manifest import Manifest, Unit
from deployer.formats.messages import Action
from deployer.host.machine import Machine, SystemdPort, UnitStatus
from deployer.host.unit_changes import UnitChanges, look_at_units, unit_changes
from deployer.host.unit_jobs import UnitJobs
from deployer.host.unit_records import UNITS_BEFORE
from deployer.host.units_back import UnitsBack

KIND: Final = "user-unit"
"""Of actions: their target is `USER/UNIT`."""
_SHORT: Final = 10.0
"""Seconds for a job of a user whom the configuration does not declare."""
_PLACES: Final = ("/etc/", "/usr/", "/lib/", "/nix/store/", "/var/lib/deployer/")
"""Where units are that are no user's own."""


def look_at_user_units(systemd: SystemdPort, previous: Manifest, following: Manifest) -> Mapping[str, Mapping[str, UnitStatus]]:
    """By user whose manager runs, how it sees the units; those that the user has a file of their own for are left out."""
    units = (*previous.user_units, *following.user_units)
    if not units:
        return {}
    found: Dict[str, Mapping[str, UnitStatus]] = {}
    for user, manager in sorted(systemd.user_managers().items()):
        with contextlib.suppress(DeployerError):
            found[user] = {name: status for name, status in look_at_units(manager, units).items() if _is_no_users_own(status)}
    return found


def user_unit_changes(previous: Manifest, following: Manifest, statuses: Mapping[str, UnitStatus]) -> UnitChanges:
    """What the change of generation means for one user's manager."""
    return unit_changes(_for_user(previous, statuses), _for_user(following, statuses), statuses)


def user_actions(
    previous: Manifest, following: Manifest, seen: Mapping[str, Mapping[str, UnitStatus]]
) -> Tuple[List[Action], List[Action]]:
    """What a plan says: before anything else changes, and after."""
    before: List[Action] = []
    after: List[Action] = []
    for user, statuses in seen.items():
        changes = user_unit_changes(previous, following, statuses)
        for actions, verb, names in (
            (before, "stop", changes.stop),
            (after, "reload", changes.reload),
            (after, "restart", changes.restart),
            (after, "start", changes.start),
        ):
            actions += [Action(KIND, verb, f"{user}/{name}", changes.because.get(name, "")) for name in names]
        before[:0] = [dataclasses.replace(action, kind=KIND, target=f"{user}/{action.target}") for action in changes.skipped]
    return before, after


@dataclass
class _Pending:
    jobs: UnitJobs
    changes: UnitChanges
    is_declared: bool
    failed: bool = False


class UserUnits:
    """The units of all users in one host's change from `previous` to `following`."""

    def __init__(self, machine: Machine, previous: Manifest, following: Manifest) -> None:
        """Nothing is asked of anybody where neither generation declares units of users."""
        self._machine, self._previous, self._next = machine, previous, following
        self._pending: Dict[str, _Pending] = {}
        self._concerned = bool(previous.user_units or following.user_units)

    def stop(self) -> None:
        """Look, lay down what runs, and stop what must be stopped first. Raises for declared accounts."""
        if not self._concerned:
            return
        managers = self._machine.systemd.user_managers()
        for user, statuses in look_at_user_units(self._machine.systemd, self._previous, self._next).items():
            if user not in managers:
                continue
            changes = user_unit_changes(self._previous, self._next, statuses)
            pending = _Pending(
                UnitJobs(*self._change_of(user, managers[user], statuses), user=user), changes, self._is_declared(user)
            )
            self._pending[user] = pending
            pending.jobs.record(statuses, changes)
            for action in changes.skipped:
                self._machine.events.action(dataclasses.replace(action, kind=KIND, target=f"{user}/{action.target}"))
            with self._watched(user, pending):
                pending.jobs.stop(changes)

    def start(self) -> None:
        """Have the managers read their files, and reload, restart and start. Raises for declared accounts."""
        for user, pending in self._pending.items():
            if not pending.failed:
                with self._watched(user, pending):
                    pending.jobs.start(pending.changes, pending.jobs.reload_definitions())

    def stop_what_came(self, records: Sequence[Mapping[str, Any]]) -> None:
        """In a rollback: what runs, and did not before."""
        for user, units in self._units_of(records):
            with self._told(user):
                units.stop_what_came(_of_user(records, user))

    def bring_back(self, records: Sequence[Mapping[str, Any]], troubles: List[str]) -> None:
        """In a rollback, once the files are as they were."""
        for user, units in self._units_of(records):
            mine: List[str] = []
            try:
                units.bring_back(_of_user(records, user), mine, booting=False)
            except DeployerError as error:
                mine.append(error.message)
            for trouble in mine:
                self._machine.events.log(f"{user}: {trouble}")
            if self._is_declared(user):
                troubles += [f"{user}: {trouble}" for trouble in mine]

    # -- details ---------------------------------------------------------------------------------------------------------

    def _units_of(self, records: Sequence[Mapping[str, Any]]) -> Iterator[Tuple[str, UnitsBack]]:
        users = {str(record["user"]) for record in records if record["op"] == UNITS_BEFORE and record.get("user")}
        managers = self._machine.systemd.user_managers() if users else {}
        for user in sorted(users & set(managers)):
            with self._told(user):
                statuses = look_at_user_units(self._machine.systemd, self._previous, self._next).get(user, {})
                yield user, UnitsBack(*self._change_of(user, managers[user], statuses), user=user)

    def _change_of(
        self, user: str, manager: SystemdPort, statuses: Mapping[str, UnitStatus]
    ) -> Tuple[Machine, Manifest, Manifest]:
        """The machine as one user's manager has it, and what changes there."""
        machine = dataclasses.replace(self._machine, systemd=manager)
        previous, following = (_for_user(manifest, statuses) for manifest in (self._previous, self._next))
        if not self._is_declared(user):
            previous, following = _in_short(previous), _in_short(following)
        return machine, previous, following

    def _is_declared(self, user: str) -> bool:
        return any(user == account.name for one in (self._previous, self._next) for account in one.users)

    @contextlib.contextmanager
    def _watched(self, user: str, pending: _Pending) -> Iterator[None]:
        try:
            yield
        except DeployerError as error:
            pending.failed = True
            self._machine.events.log(f"{user}: {error.message}")
            if pending.is_declared:
                raise

    @contextlib.contextmanager
    def _told(self, user: str) -> Iterator[None]:
        try:
            yield
        except DeployerError as error:
            self._machine.events.log(f"{user}: {error.message}")


def _of_user(records: Sequence[Mapping[str, Any]], user: str) -> List[Mapping[str, Any]]:
    return [record for record in records if record.get("user") == user]


def _for_user(manifest: Manifest, statuses: Mapping[str, UnitStatus]) -> Manifest:
    """What concerns one user: as if it were all of the host's units."""
    units: Tuple[Unit, ...] = tuple(unit for unit in manifest.user_units if unit.name in statuses)
    return dataclasses.replace(manifest, units=units, user_units=())


def _in_short(manifest: Manifest) -> Manifest:
    """Nobody's manager may use up the time of the switch."""
    timing = manifest.timing
    return dataclasses.replace(manifest, timing=dataclasses.replace(timing, unit_timeout=min(timing.unit_timeout, _SHORT)))


def _is_no_users_own(status: UnitStatus) -> bool:
    return not status.fragment or status.fragment.startswith(_PLACES)
