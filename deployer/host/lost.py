"""What can be told of a generation whose system is gone from the store: what the ledger remembers of it.

Somebody removed `/nix` by hand. Files, accounts and settings are all in the ledger; of a unit it tells the name only, which is
enough to stop it, and to start it anew with another definition.
"""

from __future__ import annotations

from typing import Dict, Final, List

from deployer.formats.manifest import FILE, LINK, SYMLINK, EtcEntry, Manifest, Unit
from deployer.host.ledger import Ledger, OwnedPath
from deployer.host.machine import Machine
from deployer.host.refusals import SystemLost
from deployer.host.standing import read_ledger

_UNITS: Final = "systemd/system/"
_FORGOTTEN: Final = "[Unit]\n"
_MASK: Final = "/dev/null"


def manifest_of(machine: Machine, system: str) -> Manifest:
    """What the current system, or the previous one of the transaction under way, declares; or what is remembered of it."""
    try:
        return machine.store.manifest(system)
    except SystemLost:
        return remembered(read_ledger(machine.disk))


def remembered(ledger: Ledger) -> Manifest:
    """The part of a manifest that the ledger of its generation tells."""
    return Manifest(etc=tuple(_entry(path, owned) for path, owned in sorted(ledger.etc.items())), units=tuple(_units(ledger)))


def _entry(path: str, owned: OwnedPath) -> EtcEntry:
    target = owned.target if owned.kind == SYMLINK else ""
    return EtcEntry(path, owned.kind, owned.sha256, target, mode=f"{owned.mode:04o}" if owned.kind != LINK else "0644")


def _units(ledger: Ledger) -> List[Unit]:
    units: Dict[str, Unit] = {}
    for path, owned in sorted(ledger.etc.items()):
        name, _, below = path[len(_UNITS) :].partition("/")
        if not path.startswith(_UNITS):
            continue
        if not below and owned.kind == SYMLINK and owned.target == _MASK:
            units[name] = Unit(name, masked=True)
        elif not below and owned.kind in (LINK, FILE):
            units[name] = Unit(name, _FORGOTTEN)
        elif below and name.endswith(".d"):
            units.setdefault(name[:-2], Unit(name[:-2]))
    return list(units.values())
