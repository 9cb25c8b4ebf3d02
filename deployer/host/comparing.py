"""What differs between the declarations of two generations: for people who choose one, not for the transaction."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Tuple

from deployer.formats.manifest import EtcEntry, Manifest, Unit
from deployer.formats.messages import Action
from deployer.host.paths import ETC
from deployer.host.unit_files import UnitFile, difference

_UNITS = "systemd/system/"
_WORDS = {"sha256": "content", "drop_ins": "drop-ins", "create_home": "home"}


def compare(before: Manifest, after: Manifest) -> Tuple[Action, ...]:
    """By kind, and by name within each. Files of units are told with their units."""
    actions: List[Action] = []
    actions += _changes("etc", _entries(before), _entries(after))
    actions += _changes("unit", _named(before.units), _named(after.units))
    actions += _changes("user", _named(before.users), _named(after.users))
    actions += _changes("group", _named(before.groups), _named(after.groups))
    actions += _changes("sysctl", before.sysctl, after.sysctl)
    actions += _changes("tmpfiles", dict.fromkeys(before.tmpfiles, ""), dict.fromkeys(after.tmpfiles, ""))
    actions += _changes("check", _named(before.checks), _named(after.checks))
    return tuple(actions)


def _changes(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Action]:
    for name in sorted({*before, *after}):
        if name not in before:
            yield Action(kind, "add", name)
        elif name not in after:
            yield Action(kind, "remove", name)
        elif before[name] != after[name]:
            yield Action(kind, "change", name, _because(before[name], after[name]))


def _because(before: Any, after: Any) -> str:
    if isinstance(before, Unit):
        differs = difference(UnitFile.of(before), UnitFile.of(after))
        if not differs.is_nothing:
            return differs.says
    if not dataclasses.is_dataclass(before):
        return f"{before} -> {after}"
    names = [field.name for field in dataclasses.fields(before) if getattr(before, field.name) != getattr(after, field.name)]
    return ", ".join(_WORDS.get(name, name.replace("_", " ")) for name in names)


def _entries(manifest: Manifest) -> Dict[str, EtcEntry]:
    units = {unit.name for unit in manifest.units}
    found: Dict[str, EtcEntry] = {}
    for entry in manifest.etc:
        name = entry.path[len(_UNITS) :].partition("/")[0] if entry.path.startswith(_UNITS) else ""
        if name not in units and not (name.endswith(".d") and name[:-2] in units):
            found[f"{ETC}/{entry.path}"] = entry
    return found


def _named(items: Iterable[Any]) -> Dict[str, Any]:
    return {item.name: item for item in items}
