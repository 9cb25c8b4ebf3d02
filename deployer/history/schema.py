"""The tables, and how a database of an earlier version becomes one of this."""

from __future__ import annotations

import sqlite3
from typing import Final

APPLICATION_ID: Final = 0x64706C79
"""Marks the file as ours: "dply"."""

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE rollouts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        command TEXT NOT NULL,
        holder TEXT NOT NULL,
        started REAL NOT NULL,
        ended REAL,
        ending TEXT NOT NULL DEFAULT '',
        exit_code INTEGER,
        reason TEXT NOT NULL DEFAULT '',
        strategy TEXT NOT NULL,
        details TEXT NOT NULL
    );
    CREATE TABLE rollout_hosts (
        rollout INTEGER NOT NULL REFERENCES rollouts(number),
        host TEXT NOT NULL,
        position INTEGER NOT NULL,
        wave INTEGER NOT NULL,
        previous_generation INTEGER NOT NULL,
        previous_system TEXT NOT NULL,
        system TEXT NOT NULL,
        generation INTEGER NOT NULL DEFAULT 0,
        outcome TEXT NOT NULL,
        error TEXT NOT NULL DEFAULT '{}',
        started REAL,
        ended REAL,
        PRIMARY KEY (rollout, host)
    ) WITHOUT ROWID;
    CREATE INDEX rollout_hosts_by_host ON rollout_hosts(host, rollout);
    CREATE TABLE events (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        rollout INTEGER NOT NULL,
        host TEXT,
        time REAL NOT NULL,
        name TEXT NOT NULL,
        event TEXT NOT NULL
    );
    CREATE INDEX events_by_rollout ON events(rollout, number);
    CREATE TABLE locks (
        host TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        rollout INTEGER NOT NULL,
        since REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE drift (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        host TEXT NOT NULL,
        time REAL NOT NULL,
        kind TEXT NOT NULL,
        target TEXT NOT NULL,
        repaired INTEGER NOT NULL
    );
    CREATE INDEX drift_by_host ON drift(host, time);
    """,
)
"""The n-th makes a database of version n one of version n + 1. Never changed once released; only added to."""

VERSION: Final = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> int:
    """The version of an open database; 0: it is empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_foreign(connection: sqlite3.Connection) -> bool:
    """Whether some other program made this database."""
    marked = int(connection.execute("PRAGMA application_id").fetchone()[0]) == APPLICATION_ID
    return not marked and connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database up to `VERSION`, in one transaction: after a crash it is of the old version or the new."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(version_of(connection), VERSION):
            for statement in MIGRATIONS[number].split(";"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
