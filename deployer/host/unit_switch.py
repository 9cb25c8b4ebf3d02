"""Which units a change of generation stops, reloads, restarts and starts. Pure; docs/reference/units.md has the table.

As NixOS's switch-to-configuration decides, with two cautions more: a unit of the distribution that we only extend is never
stopped for our sake, and neither is one that the host still has once ours is gone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import Collection, Final, Iterable, List, Mapping, Optional, Set, Tuple

from deployer.formats.manifest import Unit
from deployer.host.unit_files import Difference, UnitFile, declared, difference, runs_once, stays_alike, stops_alike
from deployer.host.unit_names import LEFT_ALONE, LIFELINES, NEVER_STARTED_TARGETS, is_one_of, is_template, template_of
from deployer.host.unit_relations import Bonds, Draft, carry

_QUIET_TARGETS: Final = frozenset({"sysinit.target", "basic.target", "multi-user.target", "graphical.target"})
_QUIET_KINDS: Final = frozenset({"path", "slice", "scope", "device"})
_RELOADABLE_TYPES: Final = frozenset({"notify-reload"})
_STOP_ORDER: Final = {"timer": 0, "path": 0, "socket": 1, "automount": 1}
_START_ORDER: Final = {
    "slice": 0,
    "mount": 0,
    "swap": 0,
    "automount": 1,
    "socket": 1,
    "service": 2,
    "path": 3,
    "timer": 3,
    "target": 4,
}


@dataclass(frozen=True)
class UnitSwitch:
    """What happens to units. `stop` is before anything else changes, all else after."""

    stop: Tuple[str, ...] = ()
    reload: Tuple[str, ...] = ()
    restart: Tuple[str, ...] = ()
    start: Tuple[str, ...] = ()
    renew: Tuple[str, ...] = ()
    """Of `restart`, those that are all stopped before the first of them starts: they may exchange ports."""
    implied: Tuple[str, ...] = ()
    """Of `restart`, those that systemd restarts along with others, and refuses to where it is asked to."""
    along: Tuple[str, ...] = ()
    """Of `restart` and not of `renew`, those that systemd restarts along with others without being asked."""
    skip: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Units that would have to change, and are left as they are, with the reason."""
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)


def plan_units(
    previous: Iterable[Unit],
    following: Iterable[Unit],
    active: Collection[str],
    *,
    shipped: Collection[str] = (),
    once: Collection[str] = (),
    bound: Bonds = MappingProxyType({}),
) -> UnitSwitch:
    """Decide for all units that either generation declares, and for running instances of their templates.

    `active` are the names of units that run or are about to; those of instances of templates belong there too. `shipped`
    are units that the host has a definition of besides ours. `once` are those of which systemd says that they are done once
    their work has ended: of a unit that we only extend, what we know of it does not tell. `bound` are, by unit, those that
    systemd stops along with it, by what it has loaded now.
    """
    table = _Table(
        {unit.name: unit for unit in previous},
        {unit.name: unit for unit in following},
        frozenset(active),
        frozenset(shipped),
        frozenset(once),
    )
    for name in table.names():
        table.decide(name)
    carry(table.draft, table.following, table.active, bound)
    return table.result()


class _Table:
    """Collects the decisions, unit by unit."""

    def __init__(
        self,
        previous: Mapping[str, Unit],
        following: Mapping[str, Unit],
        active: Collection[str],
        shipped: Collection[str],
        once: Collection[str],
    ) -> None:
        self._previous, self.following, self.active, self._shipped, self._once = previous, following, active, shipped, once
        self.draft = Draft()
        self._renew: Set[str] = set()
        self._lazy: Set[str] = set()
        """Those that their socket starts again."""

    def names(self) -> List[str]:
        """All that may be touched; templates themselves never run."""
        known = {*self._previous, *self.following}
        instances = {name for name in self.active if template_of(name) in known}
        return sorted(name for name in known | instances if not is_template(name))

    def decide(self, name: str) -> None:
        """The table: active or not, gone or masked, and what differs."""
        old, new = declared(name, self._previous), declared(name, self.following)
        if name not in self.active:
            self._decide_inactive(name, old, new)
        elif new is not None and new.masked:
            self._end(name, old, "it is masked")
        elif old is None:
            self._decide_extended(name, new)
        elif new is None:
            self._decide_gone(name, old)
        else:
            self._decide_changed(name, old, new)

    def result(self) -> UnitSwitch:
        """The greater change wins; what is stopped and was to be restarted is started instead."""
        self.draft.start |= (self.draft.restart & self.draft.stop) - self._lazy
        restart = self.draft.restart - self.draft.stop
        touched = self.draft.stop | restart | self.draft.start
        renew = set() if self.draft.implied else self._renew & restart
        along = self.draft.along & restart - (renew if len(renew) > 1 else set())
        return UnitSwitch(
            stop=_ordered(self.draft.stop, _STOP_ORDER),
            reload=_ordered(self.draft.reload - self.draft.stop - restart, _START_ORDER),
            restart=_ordered(restart, _START_ORDER),
            start=_ordered(self.draft.start - restart, _START_ORDER),
            renew=_ordered(renew - along, _START_ORDER),
            implied=tuple(sorted(self.draft.implied & restart)),
            along=_ordered(along, _START_ORDER),
            skip={name: reason for name, reason in sorted(self.draft.skip.items()) if name not in touched},
            reasons=dict(sorted(self.draft.reasons.items())),
        )

    # -- rows ------------------------------------------------------------------------------------------------------------

    def _decide_inactive(self, name: str, old: Optional[Unit], new: Optional[Unit]) -> None:
        if new is None or new.masked or not new.start or name in NEVER_STARTED_TARGETS:
            return
        file = UnitFile.of(new)
        if file.flag("Unit", "RefuseManualStart", False):
            self.draft.skip[name] = "it refuses to be started by hand (RefuseManualStart)"
        elif file.flag("Unit", "X-OnlyManualStart", False):
            self.draft.skip[name] = "it is started by hand only (X-OnlyManualStart)"
        elif old is None or not old.start or old.masked:
            self.draft.add(self.draft.start, name, "it is new" if old is None else "it is to be active now")
        elif not (runs_once(new) or (not new.text and name in self._once)):
            self.draft.add(self.draft.start, name, "it is not running")
        elif not difference(UnitFile.of(old), file).is_nothing:
            self.draft.add(self.draft.start, name, f"it changed: {difference(UnitFile.of(old), file).says}")
        if name in self.draft.start and name.endswith(".socket"):
            self._free(name, file, f"{name} listens for it from now on")

    def _decide_gone(self, name: str, old: Unit) -> None:
        if not old.text or self._is_the_hosts(name):
            self._apply(name, old, Unit(name), "deployer no longer extends it" if not old.text else "the host's own is back")
        else:
            self._end(name, old, "it is no longer declared")

    def _decide_extended(self, name: str, new: Optional[Unit]) -> None:
        """It runs, and was not ours: the distribution's, which is extended or replaced now."""
        if new is not None:
            self._apply(name, Unit(name), new, "")

    def _decide_changed(self, name: str, old: Unit, new: Unit) -> None:
        self._apply(name, old, new, "")

    def _end(self, name: str, old: Optional[Unit], why: str) -> None:
        file = UnitFile.of(old) if old is not None else UnitFile({})
        if not file.flag("Unit", "X-StopOnRemoval", True):
            self.draft.skip[name] = f"{why}, and is left running (X-StopOnRemoval=false)"
        elif file.flag("Unit", "RefuseManualStop", False) or is_one_of(name, LEFT_ALONE):
            self.draft.skip[name] = f"{why}, and is not stopped under a running host"
        else:
            self.draft.add(self.draft.stop, name, why)

    # -- a unit that runs, and changed -----------------------------------------------------------------------------------

    def _apply(self, name: str, old: Unit, new: Unit, why: str) -> None:
        file = UnitFile.of(new)
        found = difference(UnitFile.of(old), file)
        if found.is_nothing:
            return
        reason = f"{why}: {found.says}" if why else f"it changed: {found.says}"
        kind = name.rpartition(".")[2]
        if kind == "target":
            self._apply_target(name, file, reason)
        elif kind in _QUIET_KINDS:
            self.draft.skip[name] = f"{reason}; a {kind} takes that up with the next start"
        elif is_one_of(name, LEFT_ALONE):
            self.draft.skip[name] = f"{reason}; it is not restarted under a running host, but at its next boot"
        elif not found.restart and self._can_reload(name, new, file, found):
            self.draft.add(self.draft.reload, name, reason)
        else:
            self._apply_restart(name, old, new, reason)

    def _apply_target(self, name: str, file: UnitFile, reason: str) -> None:
        if name in _QUIET_TARGETS or name in NEVER_STARTED_TARGETS:
            return
        if file.flag("Unit", "RefuseManualStart", False) or file.flag("Unit", "X-OnlyManualStart", False):
            self.draft.skip[name] = f"{reason}; it is not started by hand"
            return
        if file.flag("Unit", "X-StopOnReconfiguration", False):
            self.draft.stop.add(name)
        self.draft.add(self.draft.start, name, reason)

    def _apply_restart(self, name: str, old: Unit, new: Unit, reason: str) -> None:
        file, kind = UnitFile.of(new), name.rpartition(".")[2]
        if kind == "mount":
            self.draft.add(self.draft.reload if name == "-.mount" else self.draft.restart, name, reason)
        elif (
            _asks(file, "X-ReloadIfChanged", default=False)
            and self._can_reload(name, new, file, None)
            and stays_alike(UnitFile.of(old), file)
        ):
            self.draft.add(self.draft.reload, name, reason)
        elif not _asks(file, "X-RestartIfChanged", default=True):
            self.draft.skip[name] = f"{reason}; it is not restarted (X-RestartIfChanged=false)"
        elif file.flag("Unit", "RefuseManualStop", False) or UnitFile.of(old).flag("Unit", "RefuseManualStop", False):
            self.draft.skip[name] = f"{reason}; it refuses to be stopped by hand (RefuseManualStop)"
        elif file.flag("Unit", "X-OnlyManualStart", False):
            self.draft.skip[name] = f"{reason}; it is started by hand only (X-OnlyManualStart)"
        elif kind == "socket":
            self._apply_socket(name, file, reason)
        elif kind == "automount":
            self._apply_automount(name, reason)
        elif kind != "service" or not new.text or not old.text or not self._may_stop(name, file):
            self.draft.add(self.draft.restart, name, reason)
        else:
            self._apply_service(name, old, new, reason)

    def _apply_service(self, name: str, old: Unit, new: Unit, reason: str) -> None:
        """Stop with the old definition, start with the new. One that a socket starts gets its socket back instead.

        Where both definitions stop it alike, the new one may: then it runs until that has been loaded, and its socket stays open.
        """
        file = UnitFile.of(new)
        if stops_alike(UnitFile.of(old), file):
            self._renew.add(name)
            self.draft.add(self.draft.restart, name, reason)
            return
        self.draft.add(self.draft.stop, name, reason)
        sockets = [socket for socket in self._sockets_of(name, file) if socket in self.active]
        for socket in sockets:
            self.draft.stop.add(socket)
            self.draft.add(self.draft.start, socket, f"{name} changed")
        if not sockets or new.start:
            self.draft.start.add(name)

    def _apply_socket(self, name: str, file: UnitFile, reason: str) -> None:
        """It is closed by its old definition, and opened by its new one."""
        self.draft.add(self.draft.start, name, reason)
        self.draft.stop.add(name)
        self._free(name, file, f"{name} changed")

    def _free(self, name: str, file: UnitFile, why: str) -> None:
        """systemd opens no socket while its service runs: that is stopped, and comes back where it is to be active."""
        service = file.last("Socket", "Service") or name[: -len("socket")] + "service"
        if service in self.active and not file.flag("Socket", "Accept", False):
            self.draft.add(self.draft.stop, service, why)
            wanted = declared(service, self.following)
            if wanted is not None and wanted.start and not wanted.masked:
                self.draft.start.add(service)
            else:
                self._lazy.add(service)

    def _apply_automount(self, name: str, reason: str) -> None:
        """It cannot begin below what is mounted, and takes that away as it ends. Whoever looks there next mounts it again."""
        self.draft.add(self.draft.start, name, reason)
        self.draft.stop.add(name)
        mount = name[: -len("automount")] + "mount"
        if mount in self.active:
            self.draft.add(self.draft.stop, mount, f"{name} changed")
            wanted = declared(mount, self.following)
            if wanted is not None and wanted.start and not wanted.masked:
                self.draft.start.add(mount)
            else:
                self._lazy.add(mount)

    # -- questions -------------------------------------------------------------------------------------------------------

    def _sockets_of(self, name: str, file: UnitFile) -> List[str]:
        named = [*file.words("Service", "Sockets"), name[: -len("service")] + "socket"]
        wanted = {socket: declared(socket, self.following) for socket in named}
        return [socket for socket, unit in wanted.items() if unit is not None and not unit.masked]

    def _is_the_hosts(self, name: str) -> bool:
        return name in self._shipped or is_one_of(name, LIFELINES) or is_one_of(name, LEFT_ALONE)

    def _may_stop(self, name: str, file: UnitFile) -> bool:
        """Whether there may be a time without it, between its stop and its start."""
        return _asks(file, "X-StopIfChanged", default=True) and not is_one_of(name, LIFELINES)

    def _can_reload(self, name: str, new: Unit, file: UnitFile, found: Optional[Difference]) -> bool:
        if not name.endswith(".service"):
            return name.endswith(".mount")
        if ("Service", "ExecReload") in file.values:
            return True
        if new.text:
            return file.last("Service", "Type") in _RELOADABLE_TYPES
        return found is not None and ("Unit", "X-Reload-Triggers") in found.reload


def _asks(file: UnitFile, key: str, *, default: bool) -> bool:
    """A wish to us, which may stand in either section."""
    return file.flag("Service", key, file.flag("Unit", key, default))


def _ordered(names: Iterable[str], order: Mapping[str, int]) -> Tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: (order.get(name.rpartition(".")[2], 2), name)))
