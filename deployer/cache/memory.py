"""What caches have answered, kept between runs as Nix keeps it: what they have for a month, what they lack for an hour."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VERSION: Final = 1
_BUSY: Final = 10.0
"""Seconds to wait for another process."""
_PRUNED_AFTER: Final = 86400
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS Answers (
    cache TEXT NOT NULL,
    name TEXT NOT NULL,
    time INTEGER NOT NULL,
    body BLOB,
    PRIMARY KEY (cache, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS Pruned (time INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds for which an answer holds."""

    present: float = 30 * 86400
    absent: float = 3600
    settings: float = 7 * 86400
    """Of `nix-cache-info`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a cache had at a name; None: nothing."""

    body: bytes | None


class Memory:
    """One SQLite file. It is only a memory: where it can't be used, caches are asked."""

    def __init__(self, file: Path, lifetimes: Lifetimes | None = None, *, clock: Callable[[], float] = time.time) -> None:
        """Nothing is opened yet."""
        self._file, self._lifetimes, self._clock = file, lifetimes or Lifetimes(), clock
        self._serving = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._is_broken = False

    def recall(self, cache: str, name: str) -> Answer | None:
        """An answer that still holds."""
        rows = self._do("SELECT time, body FROM Answers WHERE cache = ? AND name = ?", (cache, name))
        if not rows:
            return None
        age = self._clock() - rows[0][0]
        return Answer(rows[0][1]) if 0 <= age < self._lifetime(name, rows[0][1]) else None

    def remember(self, cache: str, name: str, body: bytes | None) -> None:
        """What was answered just now."""
        self._do("INSERT OR REPLACE INTO Answers VALUES (?, ?, ?, ?)", (cache, name, int(self._clock()), body))

    def forget(self, cache: str, name: str) -> None:
        """An answer turned out to be wrong."""
        self._do("DELETE FROM Answers WHERE cache = ? AND name = ?", (cache, name))

    def close(self) -> None:
        """Let go of the file."""
        with self._serving:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _lifetime(self, name: str, body: bytes | None) -> float:
        if body is None:
            return self._lifetimes.absent
        return self._lifetimes.settings if name == "nix-cache-info" else self._lifetimes.present

    def _do(self, query: str, parameters: tuple[object, ...]) -> list[tuple[int, bytes | None]]:
        if self._is_broken:
            return []
        with self._serving:
            try:
                if self._connection is None:
                    self._connection = self._open()
                return self._connection.execute(query, parameters).fetchall()
            except (sqlite3.Error, OSError):
                self._is_broken = True
                return []

    def _open(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._file, timeout=_BUSY, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            connection.executescript(f"DROP TABLE IF EXISTS Answers; {_SCHEMA} PRAGMA user_version = {VERSION};")
        now = self._clock()
        if (connection.execute("SELECT max(time) FROM Pruned").fetchone()[0] or 0) < now - _PRUNED_AFTER:
            connection.execute(
                "DELETE FROM Answers WHERE time < ? OR body IS NULL AND time < ?",
                (int(now - self._lifetimes.present), int(now - self._lifetimes.absent)),
            )
            connection.execute("DELETE FROM Pruned")
            connection.execute("INSERT INTO Pruned VALUES (?)", (int(now),))
        return connection
