"""New definitions that systemd reads before the services that they are for are stopped, so that nothing is read in between.

A service that a program stops is stopped by its old definition while all is as it was, and started by its new one when all has
changed. To have systemd read its files takes longer than both. So the new definition, with the old one's programs to stop, is
laid where systemd prefers it to `/etc`; then come the stop, the changes, the start; and what was laid goes.

    >>> from deployer.formats.manifest import Unit
    >>> old, new = (Unit("a.service", f"[Service]\\nExecStart=/bin/a {n}\\nExecStop=/bin/s {n}\\n") for n in (1, 2))
    >>> preload_of(old, new).text.splitlines()[-4:]
    ['[Service]', 'ExecStop=', 'ExecStop=/bin/s 1', 'ExecStopPost=']

It lies in memory, so a reboot forgets it; the undo log names it before it is there, so a rollback takes it away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Collection, Dict, Final, Iterable, Mapping, Optional, Sequence, Set, Tuple

from deployer.formats.manifest import Unit
from deployer.host.ledger import Metadata
from deployer.host.machine import Machine
from deployer.host.unit_changes import UnitChanges
from deployer.host.unit_files import IGNORED, UnitFile
from deployer.host.unit_relations import pulls_in, stops_with

PLACE: Final = "/run/systemd/system.control"
"""What systemd reads rather than /etc/systemd/system."""
PRELOADED: Final = "preloaded"
"""Of the undo log."""
_DIRECTORY: Final = Metadata(0o755, 0, 0)
_FILE: Final = Metadata(0o644, 0, 0)
_PRIVATE: Final = Metadata(0o600, 0, 0)
_TO_STOP: Final = ("ExecStop", "ExecStopPost")
_TO_START: Final = frozenset(
    {
        "ExecCondition",
        "ExecReload",
        "ExecStart",
        "ExecStartPost",
        "ExecStartPre",
        "Restart",
        "RestartForceExitStatus",
        "RestartMaxDelaySec",
        "RestartPreventExitStatus",
        "RestartSec",
        "RestartSteps",
        "TimeoutStartFailureMode",
        "TimeoutStartSec",
    }
)
"""Keys of [Service] that mean nothing to what stops it. All others do, or may: programs run with what the whole unit says."""
_OF_STARTS: Final = ("Assert", "Condition", "StartLimit")
_WORD: Final = re.compile(r"""\s*(?:"([^"'\\%$`]*)"|'([^"'\\%$`]*)'|([^\s"'\\%$`]+))(?=\s|$)""")
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")


@dataclass(frozen=True)
class Preload:
    """The definition of a service from before its stop until systemd has read the new one in its place."""

    text: str
    environment: str
    """A file of variables, as the old definition has them, that is there until the stop is over; empty: they are the same."""


def preloads(previous: Iterable[Unit], following: Iterable[Unit], changes: UnitChanges) -> Mapping[str, Preload]:
    """By service, what is to be read before the stop; nothing unless that does for all that is stopped, which starts together."""
    before, after = ({unit.name: unit for unit in units} for units in (previous, following))
    if not changes.stop or not {*changes.stop} <= {*changes.start}:
        return {}
    found: Dict[str, Preload] = {}
    for name in changes.stop:
        old, new = before.get(name), after.get(name)
        preload = preload_of(old, new) if old is not None and new is not None else None
        if preload is None or new is None or _hangs_on(new, changes):
            return {}
        found[name] = preload
    return found


def preload_of(old: Unit, new: Unit) -> Optional[Preload]:
    """What one service is to have; None where its old programs to stop would not run as they do by its old definition."""
    if not new.name.endswith(".service") or "@" in new.name:
        return None
    if not (old.text and new.text) or old.drop_ins or new.drop_ins or old.masked or new.masked:
        return None
    was, will = UnitFile.of(old), UnitFile.of(new)
    differing = {key for key in {*was.values, *will.values} if was.values.get(key) != will.values.get(key)}
    environment = _kept_environment(was, will) if ("Service", "Environment") in differing else ""
    refuses = any(will.flag("Unit", key, False) for key in ("RefuseManualStart", "RefuseManualStop"))
    if refuses or environment is None or any(_concerns_stops(section, key) for section, key in differing):
        return None
    lines = ["[Service]"]
    for key in _TO_STOP:
        lines += [f"{key}=", *(f"{key}={value}" for value in was.values.get(("Service", key), ()))]
    lines += [f"EnvironmentFile=-{_environment_path(new.name)}"] * bool(environment)
    return Preload(f"{new.text}\n\n" + "\n".join(lines) + "\n", environment)


class Preloading:
    """What is laid for one transaction."""

    def __init__(self, machine: Machine, preloads: Mapping[str, Preload]) -> None:
        """Nothing is laid yet."""
        self._machine, self._preloads = machine, preloads
        self._record: Dict[str, Any] = {}

    def lay(self) -> None:
        """Write it, for systemd to read."""
        disk = self._machine.disk
        self._record = {"op": PRELOADED, "names": sorted(self._preloads), "made": disk.entry(PLACE) is None}
        self._machine.undo.append(self._record)
        if self._record["made"]:
            disk.make_directory(PLACE, _DIRECTORY)
        for name, preload in sorted(self._preloads.items()):
            disk.write(f"{PLACE}/{name}", preload.text.encode(), _FILE)
            if preload.environment:
                disk.write(_environment_path(name), preload.environment.encode(), _PRIVATE)
        self._machine.system.relabel([PLACE, *(f"{PLACE}/{name}" for name in sorted(self._preloads))])

    def was_read(self) -> bool:
        """Whether systemd has read all of it: an administrator may have put something before it."""
        states = self._machine.systemd.states(sorted(self._preloads))
        return all(states[name].load == "loaded" and states[name].fragment == f"{PLACE}/{name}" for name in self._preloads)

    def forget_environments(self) -> None:
        """From here on, services start with the variables of their new definitions."""
        for name, preload in self._preloads.items():
            if preload.environment:
                self._machine.disk.remove(_environment_path(name))

    def take_away(self) -> None:
        """Remove it; systemd has to read its files after that."""
        remove_preloads(self._machine, self._record)


def remove_preloads(machine: Machine, record: Mapping[str, Any]) -> None:
    """Remove what a record of the undo log names. As often as it takes."""
    for name in record["names"]:
        machine.disk.remove(_environment_path(name))
        machine.disk.remove(f"{PLACE}/{name}")
    if record["made"]:
        machine.disk.remove_directory(PLACE)


def _hangs_on(unit: Unit, changes: UnitChanges) -> bool:
    """Whether its start has to wait for other units of this change: they are not there yet, or would take it down again."""
    others: Set[str] = {*changes.restart, *changes.reload, *changes.start} - {*changes.stop}
    return bool(others & {*stops_with(unit), *pulls_in(unit)})


def _concerns_stops(section: str, key: str) -> bool:
    if key.startswith("X-"):
        return False
    if section == "Unit":
        return key not in IGNORED and not key.startswith(_OF_STARTS)
    return section != "Service" or key not in {*_TO_START, *_TO_STOP, "Environment"}


def _kept_environment(was: UnitFile, will: UnitFile) -> Optional[str]:
    """The old variables as a file that goes before the new ones; None where it can't say the same."""
    if any(("Service", "EnvironmentFile") in file.values for file in (was, will)):
        return None
    old, new = (_variables(file.values.get(("Service", "Environment"), ())) for file in (was, will))
    if old is None or new is None or not {*new} <= {*old}:
        return None  # there is no way to say that a variable is not there
    return "".join(f"{name}='{value}'\n" for name, value in sorted(old.items()))


def _variables(values: Collection[str]) -> Optional[Mapping[str, str]]:
    """What lines of `Environment=` assign; None where they use more than plain quotes."""
    found: Dict[str, str] = {}
    for value in values:
        words = _words(value)
        for word in words if words is not None else ("",):
            assigned = _ASSIGNMENT.fullmatch(word)
            if assigned is None:
                return None
            found[assigned.group(1)] = assigned.group(2)
    return found


def _words(value: str) -> Optional[Sequence[str]]:
    words: Tuple[str, ...] = ()
    at = 0
    while value[at:].strip():
        word = _WORD.match(value, at)
        if word is None:
            return None
        words += (next(group for group in word.groups() if group is not None),)
        at = word.end()
    return words


def _environment_path(name: str) -> str:
    return f"{PLACE}/{name}.environment"
