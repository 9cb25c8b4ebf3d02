"""Unit files as systemd reads them, and what the difference between two of them means.

    >>> old = UnitFile.parse("[Service]\\nExecStart=/bin/a\\n")
    >>> difference(old, UnitFile.parse("# new\\n[Service]\\nExecStart=/bin/b\\n")).says
    '[Service] ExecStart'

Comments, white space and the order of sections and of different keys mean nothing. The order of one key's values does.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Dict, Final, Iterator, List, Mapping, Optional, Tuple

from deployer.formats.manifest import Unit
from deployer.host.unit_names import template_of

_Key = Tuple[str, str]
"""Section and key."""

IGNORED: Final = frozenset(
    {
        "Description",
        "Documentation",
        "OnFailure",
        "OnSuccess",
        "OnFailureJobMode",
        "IgnoreOnIsolate",
        "StopWhenUnneeded",
        "RefuseManualStart",
        "RefuseManualStop",
        "AllowIsolate",
        "CollectMode",
        "SourcePath",
    }
)
"""Keys of [Unit] that a running unit need not be bothered for: a daemon-reload is enough."""
RELOADED: Final = frozenset({("Unit", "X-Reload-Triggers"), ("Service", "ExecReload"), ("Mount", "Options")})
"""Keys for which a reload is enough."""
_NOT_WHEN_REMOVED: Final = ("Service", "ExecReload")
_HOW_IT_STOPS: Final = frozenset(
    {
        "BusName",
        "Delegate",
        "DynamicUser",
        "ExitType",
        "FileDescriptorStoreMax",
        "FileDescriptorStorePreserve",
        "FinalKillSignal",
        "Group",
        "GuessMainPID",
        "KillMode",
        "KillSignal",
        "NotifyAccess",
        "PAMName",
        "PIDFile",
        "RemainAfterExit",
        "RemoveIPC",
        "RestartKillSignal",
        "RuntimeDirectory",
        "RuntimeDirectoryPreserve",
        "SendSIGHUP",
        "SendSIGKILL",
        "Slice",
        "TimeoutAbortSec",
        "TimeoutSec",
        "TimeoutStopSec",
        "Type",
        "User",
        "UtmpIdentifier",
        "UtmpMode",
        "WatchdogSignal",
    }
)
"""Keys of [Service] that systemd acts by when it stops a service that runs no program to stop it."""
_PROGRAMS_TO_STOP: Final = (("Service", "ExecStop"), ("Service", "ExecStopPost"))
_INSTALL: Final = "Install"
_COMMENTS: Final = ("#", ";")
_TRUE: Final = frozenset({"1", "yes", "y", "true", "t", "on"})
_FALSE: Final = frozenset({"0", "no", "n", "false", "f", "off"})
_SHOWN_KEYS: Final = 4


@dataclass(frozen=True)
class UnitFile:
    """What a unit file and its drop-ins assign."""

    values: Mapping[_Key, Tuple[str, ...]]
    """Values of each key, in order. A leading empty one clears what a file that is not ours says."""

    @classmethod
    def parse(cls, text: str, drop_ins: Optional[Mapping[str, str]] = None) -> UnitFile:
        """Read a unit file and its drop-ins, in the order of their names. No text: only drop-ins of ours extend the unit."""
        collected: Dict[_Key, List[str]] = {}
        for part in (text, *(content for _, content in sorted((drop_ins or {}).items()))):
            for key, value in _assignments(part):
                if value:
                    collected.setdefault(key, []).append(value)
                else:
                    collected[key] = [""]
        if text:
            collected = {key: [value for value in values if value] for key, values in collected.items()}
        return cls({key: tuple(values) for key, values in collected.items() if values and key[0] != _INSTALL})

    @classmethod
    def of(cls, unit: Unit) -> UnitFile:
        """What the manifest says of a unit."""
        return cls.parse(unit.text, unit.drop_ins)

    def last(self, section: str, key: str) -> str:
        """The value that counts of a key that has one; empty where it is not assigned."""
        return (self.values.get((section, key)) or ("",))[-1]

    def words(self, section: str, key: str) -> Tuple[str, ...]:
        """All words of all values."""
        return tuple(word for value in self.values.get((section, key), ()) for word in value.split())

    def flag(self, section: str, key: str, default: bool) -> bool:
        """A boolean; the default where it is not assigned, or assigned what systemd does not understand."""
        value = self.last(section, key).lower()
        return True if value in _TRUE else False if value in _FALSE else default


@dataclass(frozen=True)
class Difference:
    """What differs between two unit files, apart from what means nothing to a running unit."""

    reload: Tuple[_Key, ...] = ()
    restart: Tuple[_Key, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether a running unit may be left alone."""
        return not (self.reload or self.restart)

    @property
    def says(self) -> str:
        """The keys, for people: those that ask for the greater change."""
        keys = self.restart or self.reload
        named = [f"[{section}] {key}" for section, key in keys[:_SHOWN_KEYS]]
        return ", ".join(named) + (f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else "")


def difference(old: UnitFile, new: UnitFile) -> Difference:
    """Compare what two unit files mean to the unit that runs by the old one."""
    reload: List[_Key] = []
    restart: List[_Key] = []
    for key in sorted({*old.values, *new.values}):
        if old.values.get(key) == new.values.get(key) or (key[0] == "Unit" and key[1] in IGNORED):
            continue
        enough = key in RELOADED and not (key == _NOT_WHEN_REMOVED and key not in new.values)
        (reload if enough else restart).append(key)
    return Difference(tuple(reload), tuple(restart))


def stops_alike(old: UnitFile, new: UnitFile) -> bool:
    """Whether a service that runs by the old definition is stopped by the new one as it would be by its own.

    A program that stops it runs with all that the unit says, and may read its files: then it is not.
    """
    if any(key in file.values for key in _PROGRAMS_TO_STOP for file in (old, new)):
        return False
    return all(old.values.get(key) == new.values.get(key) for key in (("Service", name) for name in _HOW_IT_STOPS))


def stays_alike(old: UnitFile, new: UnitFile) -> bool:
    """Whether what runs by the old definition counts as running by the new one too: one that stays active without a process,
    and one that does not, are dead to systemd after a reload where they become each other."""
    return all(old.last("Service", key) == new.last("Service", key) for key in ("Type", "RemainAfterExit"))


def runs_once(unit: Unit) -> bool:
    """Whether the unit is done, and no longer active, once its work has ended well."""
    file = UnitFile.of(unit)
    return file.last("Service", "Type") == "oneshot" and not file.flag("Service", "RemainAfterExit", False)


def declared(name: str, units: Mapping[str, Unit]) -> Optional[Unit]:
    """What a generation says of a unit: itself, or the template that it is an instance of, with the drop-ins of both."""
    own, template = units.get(name), units.get(template_of(name) or "")
    if template is None:
        return own
    if own is None:
        return dataclasses.replace(template, name=name, start=False)
    return dataclasses.replace(
        own,
        text=own.text or template.text,
        drop_ins={**template.drop_ins, **own.drop_ins},
        masked=own.masked or (template.masked and not own.text),
    )


def _assignments(text: str) -> Iterator[Tuple[_Key, str]]:
    section = ""
    for line in _logical_lines(text):
        if line.startswith("["):
            section = line[1:-1] if line.endswith("]") else ""
            continue
        key, equals, value = line.partition("=")
        if section and equals and key.strip():
            yield (section, key.strip()), value.strip()


def _logical_lines(text: str) -> Iterator[str]:
    """Lines with their continuations. Comments between them are skipped, as systemd does."""
    pending = ""
    for raw in text.lstrip("\ufeff").split("\n"):
        line = raw.strip(" \t\r")
        if line.startswith(_COMMENTS):
            continue
        pending += line
        if _is_continued(pending):
            pending = pending[:-1] + " "
            continue
        if pending.strip():
            yield pending.strip()
        pending = ""
    if pending.strip():
        yield pending.strip()


def _is_continued(line: str) -> bool:
    """Whether the last backslash is one that is not itself escaped."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1
