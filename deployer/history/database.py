"""The history in one SQLite file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote

from deployer.errors import DeployerError, JsonValue, raise_all
from deployer.history import schema
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
from deployer.history.rows import event_of, host_of, lock_of, rollout_of, text_of_holder

BUSY_TIMEOUT: Final = 10.0
"""Seconds to wait for another process's transaction."""
BUFFER: Final = 500
"""Events that are told but need not survive a crash are written together, this many at the most."""


def open_history(location: str | Path, *, clock: Callable[[], float] = time.time) -> History:
    """Open, or make, the history at `sqlite:///absolute/path` or a plain path.

    Raises `HistorySchemeUnknown`, `HistoryCorrupt`, `HistoryNewer`, `HistoryUnwritable` and `HistoryBusy`.
    """
    text = str(location)
    if text.startswith("sqlite://"):
        path = Path(unquote(text.removeprefix("sqlite://")))
        if not path.is_absolute():
            raise HistorySchemeUnknown(text)
    elif "://" in text:
        raise HistorySchemeUnknown(text)
    else:
        path = Path(text)
    return History(path, clock=clock)


class History:
    """What happened, and who holds which host. Every method is one transaction; for use by one thread."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Open the file, and make or migrate its tables; `open_history` reads URLs as well."""
        self.path = path
        self._clock = clock
        self._buffer: list[tuple[int, str | None, float, str, str]] = []
        self._connection = self._open()

    # Rollouts

    def begin_rollout(
        self,
        command: str,
        *,
        holder: Holder | None = None,
        strategy: Mapping[str, JsonValue] | None = None,
        details: Mapping[str, JsonValue] | None = None,
    ) -> RolloutRecord:
        """Write down that a rollout begins; its number is unique in this history."""
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO rollouts (command, holder, started, strategy, details) VALUES (?, ?, ?, ?, ?)",
                (command, text_of_holder(holder or Holder.me()), self._clock(), _json(strategy or {}), _json(details or {})),
            )
            return rollout_of(connection.execute("SELECT * FROM rollouts WHERE number = ?", (cursor.lastrowid,)).fetchone())

    def plan_hosts(self, rollout: int, hosts: Iterable[PlannedHost]) -> None:
        """Write down what the preflight saw. Of hosts that this rollout has begun already nothing changes: what was there
        before it was seen the first time."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO rollout_hosts (rollout, host, position, wave, previous_generation, previous_system, system, outcome,"
                " error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (rollout, host) DO UPDATE SET wave = excluded.wave,"
                " previous_generation = excluded.previous_generation, previous_system = excluded.previous_system,"
                " system = excluded.system, outcome = excluded.outcome, error = excluded.error WHERE started IS NULL",
                [
                    (
                        rollout,
                        host.host,
                        position,
                        host.wave,
                        host.previous_generation,
                        host.previous_system,
                        host.system,
                        host.outcome,
                        _json(host.error),
                    )
                    for position, host in enumerate(hosts)
                ],
            )

    def host_started(self, rollout: int, host: str) -> None:
        """Write down that a host is about to be changed. Must be called before it is."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE rollout_hosts SET outcome = ?, started = coalesce(started, ?) WHERE rollout = ? AND host = ?",
                (HostOutcome.UNDER_WAY, self._clock(), rollout, host),
            )

    def host_ended(
        self,
        rollout: int,
        host: str,
        outcome: HostOutcome,
        *,
        generation: int = 0,
        error: Mapping[str, JsonValue] | None = None,
    ) -> None:
        """Write down how a host ended."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE rollout_hosts SET outcome = ?, generation = ?, error = ?, ended = ? WHERE rollout = ? AND host = ?",
                (outcome, generation, _json(error or {}), self._clock(), rollout, host),
            )

    def finish(self, rollout: int, ending: str, exit_code: int, *, reason: str = "") -> None:
        """Write down that a rollout has ended, and give back its locks."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE rollouts SET ended = ?, ending = ?, exit_code = ?, reason = ? WHERE number = ?",
                (self._clock(), ending, exit_code, reason, rollout),
            )
            connection.execute("DELETE FROM locks WHERE rollout = ?", (rollout,))

    def take_over(self, rollout: int | None, *, holder: Holder | None = None, by_force: bool = False) -> RolloutRecord:
        """Become the driver of an interrupted rollout (None: the newest that is interrupted).

        Raises `NoSuchRollout` and `RolloutNotResumable`. `by_force` takes one whose controller cannot be seen to be dead.
        """
        with self._writing() as connection:
            rows = connection.execute(
                "SELECT * FROM rollouts WHERE number = ? OR ? IS NULL ORDER BY number DESC", (rollout, rollout)
            )
            records = [rollout_of(row) for row in rows]
            found = next((record for record in records if rollout is not None or record.is_interrupted), None)
            if found is None:
                raise NoSuchRollout(rollout) if not records else _not_resumable(records[0])
            if not (found.is_interrupted or (by_force and found.ended is None)):
                raise _not_resumable(found)
            mine = text_of_holder(holder or Holder.me())
            connection.execute("UPDATE rollouts SET holder = ? WHERE number = ?", (mine, found.number))
            connection.execute("UPDATE locks SET holder = ? WHERE rollout = ?", (mine, found.number))
            return rollout_of(connection.execute("SELECT * FROM rollouts WHERE number = ?", (found.number,)).fetchone())

    def rollouts(self, *, limit: int = 20, host: str | None = None) -> tuple[RolloutRecord, ...]:
        """The newest first; where `host` is given, those that had it."""
        rows = self._rows(
            "SELECT * FROM rollouts WHERE ? IS NULL OR EXISTS (SELECT 1 FROM rollout_hosts h"
            " WHERE h.rollout = rollouts.number AND h.host = ?) ORDER BY number DESC LIMIT ?",
            (host, host, limit),
        )
        return tuple(rollout_of(row) for row in rows)

    def rollout(self, number: int | None = None) -> RolloutRecord:
        """One rollout, or the newest. Raises `NoSuchRollout`."""
        rows = self._rows("SELECT * FROM rollouts WHERE number = ? OR ? IS NULL ORDER BY number DESC LIMIT 1", (number, number))
        if not rows:
            raise NoSuchRollout(number)
        return rollout_of(rows[0])

    def interrupted(self) -> tuple[RolloutRecord, ...]:
        """Rollouts that have not ended and whose controller has, the newest first."""
        rows = self._rows("SELECT * FROM rollouts WHERE ended IS NULL ORDER BY number DESC")
        return tuple(record for record in map(rollout_of, rows) if record.is_interrupted)

    def hosts_of(self, rollout: int) -> tuple[HostRecord, ...]:
        """The hosts of a rollout, in the inventory's order."""
        rows = self._rows("SELECT * FROM rollout_hosts WHERE rollout = ? ORDER BY position, host", (rollout,))
        return tuple(host_of(row) for row in rows)

    def last_of_hosts(self, hosts: Collection[str] | None = None) -> Mapping[str, HostRecord]:
        """How each host ended in the last rollout that had it; for `status`."""
        rows = self._rows(
            "SELECT * FROM rollout_hosts h WHERE rollout = (SELECT max(rollout) FROM rollout_hosts WHERE host = h.host)"
        )
        return {row["host"]: host_of(row) for row in rows if hosts is None or row["host"] in hosts}

    # Events

    def record(self, rollout: int, event: Mapping[str, JsonValue]) -> None:
        """Keep an event's document. It is on the disk after the next call that changes anything, or `flush`."""
        host = event.get("host")
        self._buffer.append(
            (rollout, host if isinstance(host, str) else None, self._clock(), str(event.get("event", "")), _json(event))
        )
        if len(self._buffer) >= BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write what `record` has kept back."""
        if self._buffer:
            with self._writing():
                pass

    def events_of(self, rollout: int, *, host: str | None = None, after: int = 0) -> Iterator[EventRecord]:
        """The events of a rollout in their order, those with a number above `after`."""
        self.flush()
        rows = self._rows(
            "SELECT * FROM events WHERE rollout = ? AND number > ? AND (? IS NULL OR host = ?) ORDER BY number",
            (rollout, after, host, host),
        )
        return map(event_of, rows)

    # Locks

    def lock(self, hosts: Collection[str], *, holder: Holder | None = None, rollout: int = 0) -> None:
        """Hold all of the hosts, or none. Locks of processes that are surely dead are taken over.

        Raises `HostLocked`, once for each other holder. What the same holder has already stays held.
        """
        mine = holder or Holder.me()
        with self._writing() as connection:
            held: dict[tuple[Holder, int], list[LockRecord]] = {}
            for lock in map(lock_of, connection.execute("SELECT * FROM locks")):
                if lock.host in hosts and lock.holder != mine and not lock.holder.is_dead():
                    held.setdefault((lock.holder, lock.rollout), []).append(lock)
            errors: list[DeployerError] = [
                HostLocked(tuple(sorted(lock.host for lock in locks)), other, locks[0].since, number)
                for (other, number), locks in held.items()
            ]
            raise_all(errors)
            connection.executemany(
                "INSERT OR REPLACE INTO locks (host, holder, rollout, since) VALUES (?, ?, ?, ?)",
                [(host, text_of_holder(mine), rollout, self._clock()) for host in hosts],
            )

    def unlock(self, hosts: Collection[str], *, holder: Holder | None = None) -> None:
        """Give back what this process (or `holder`) holds of the hosts."""
        mine = text_of_holder(holder or Holder.me())
        with self._writing() as connection:
            connection.executemany("DELETE FROM locks WHERE host = ? AND holder = ?", [(host, mine) for host in hosts])

    def break_locks(self, hosts: Collection[str]) -> tuple[LockRecord, ...]:
        """Take away the locks of the hosts, whoever holds them, and tell which there were."""
        with self._writing() as connection:
            broken = [
                lock for lock in map(lock_of, connection.execute("SELECT * FROM locks ORDER BY host")) if lock.host in hosts
            ]
            connection.executemany("DELETE FROM locks WHERE host = ?", [(lock.host,) for lock in broken])
            return tuple(broken)

    def locks(self) -> tuple[LockRecord, ...]:
        """Every lock, also those of dead processes."""
        return tuple(map(lock_of, self._rows("SELECT * FROM locks ORDER BY host")))

    # Drift

    def record_drift(self, host: str, items: Sequence[tuple[str, str]], *, repaired: bool) -> None:
        """Write down what had drifted (kind and target), and whether it was set right."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO drift (host, time, kind, target, repaired) VALUES (?, ?, ?, ?, ?)",
                [(host, self._clock(), kind, target, repaired) for kind, target in items],
            )

    def repairs_of(self, host: str, *, since: float) -> Mapping[tuple[str, str], tuple[float, ...]]:
        """When each kind and target of a host was repaired, in order."""
        rows = self._rows(
            "SELECT kind, target, time FROM drift WHERE host = ? AND time >= ? AND repaired ORDER BY time", (host, since)
        )
        found: dict[tuple[str, str], list[float]] = {}
        for row in rows:
            found.setdefault((row["kind"], row["target"]), []).append(row["time"])
        return {key: tuple(times) for key, times in found.items()}

    # The connection

    def close(self) -> None:
        """Write what is kept back and close the file."""
        try:
            self.flush()
        finally:
            self._connection.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise HistoryUnwritable(str(self.path), error.strerror or str(error)) from None
        with self._translated():
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None)
            try:
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
                if schema.is_foreign(connection):
                    raise HistoryCorrupt(str(self.path), "it is a database of some other program")
                version = schema.version_of(connection)
                if version > schema.VERSION:
                    raise HistoryNewer(str(self.path), version, schema.VERSION)
                if version < schema.VERSION:
                    schema.migrate(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, with the events that were kept back in front."""
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "INSERT INTO events (rollout, host, time, name, event) VALUES (?, ?, ?, ?, ?)", self._buffer
                )
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._buffer.clear()

    def _rows(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        with self._translated():
            return self._connection.execute(query, parameters).fetchall()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise _translate(error, str(self.path)) from error


def _translate(error: sqlite3.Error, path: str) -> DeployerError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return HistoryBusy(path, BUSY_TIMEOUT)
        case sqlite3.SQLITE_FULL:
            return HistoryUnwritable(path, "no space is left")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_IOERR:
            return HistoryUnwritable(path, str(error))
    return HistoryCorrupt(path, str(error))


def _not_resumable(record: RolloutRecord) -> RolloutNotResumable:
    return RolloutNotResumable(record.number, record.state, record.holder)


def _json(document: Mapping[str, JsonValue]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
