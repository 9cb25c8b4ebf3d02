"""What happened: rollouts, their hosts and events, and who holds which host now.

A `History` is one database, SQLite by default. Whatever must be true after a crash (a host was begun, a host ended, a
lock is held) is on the disk before the call returns; what is only told (copied paths, log lines) may lag behind a little.
A rollout whose controller has died is seen as interrupted, and can be resumed. Imports no other room, so events are
documents here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deployer.history.database import History, open_history
    from deployer.history.errors import (
        HistoryBusy,
        HistoryCorrupt,
        HistoryNewer,
        HistorySchemeUnknown,
        HistoryUnwritable,
        HostLocked,
        NoSuchRollout,
        RolloutNotResumable,
    )
    from deployer.history.holder import Holder
    from deployer.history.records import EventRecord, HostOutcome, HostRecord, LockRecord, PlannedHost, RolloutRecord

__all__ = [
    "EventRecord",
    "History",
    "HistoryBusy",
    "HistoryCorrupt",
    "HistoryNewer",
    "HistorySchemeUnknown",
    "HistoryUnwritable",
    "Holder",
    "HostLocked",
    "HostOutcome",
    "HostRecord",
    "LockRecord",
    "NoSuchRollout",
    "PlannedHost",
    "RolloutNotResumable",
    "RolloutRecord",
    "open_history",
]

_HOMES: Final = {
    "deployer.history.database": (
        "History",
        "open_history",
    ),
    "deployer.history.errors": (
        "HistoryBusy",
        "HistoryCorrupt",
        "HistoryNewer",
        "HistorySchemeUnknown",
        "HistoryUnwritable",
        "HostLocked",
        "NoSuchRollout",
        "RolloutNotResumable",
    ),
    "deployer.history.holder": ("Holder",),
    "deployer.history.records": (
        "EventRecord",
        "HostOutcome",
        "HostRecord",
        "LockRecord",
        "PlannedHost",
        "RolloutRecord",
    ),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: command lines that only print need no event loop and no database."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(name)
