"""What happened: rollouts, their hosts and events, and who holds which host now.

A `History` is one database, SQLite by default. Whatever must be true after a crash (a host was begun, a host ended, a
lock is held) is on the disk before the call returns; what is only told (copied paths, log lines) may lag behind a little.
A rollout whose controller has died is seen as interrupted, and can be resumed. Imports no other room, so events are
documents here.
"""

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
