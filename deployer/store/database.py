"""Which paths are valid, and what refers to what: one SQLite file, with the tables that Nix has."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection, Dict, Final, Iterable, Iterator, List, Optional, Set, Tuple

from deployer.formats.hashes import Hash
from deployer.store.errors import StoreError, StoreFull, StoreUnusable
from deployer.store.layout import Layout

BUSY: Final = 60.0
"""Seconds to wait for another process's transaction."""
_VARIABLES: Final = 500
_FULL: Final = "database or disk is full"
_STEPS: Final = (
    """
CREATE TABLE IF NOT EXISTS ValidPaths (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    path TEXT UNIQUE NOT NULL,
    hash TEXT NOT NULL,
    registrationTime INTEGER NOT NULL,
    deriver TEXT,
    narSize INTEGER NOT NULL,
    ca TEXT
);
CREATE TABLE IF NOT EXISTS Refs (
    referrer INTEGER NOT NULL REFERENCES ValidPaths(id) ON DELETE CASCADE,
    reference INTEGER NOT NULL REFERENCES ValidPaths(id) ON DELETE RESTRICT,
    PRIMARY KEY (referrer, reference)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS IndexReference ON Refs(reference);
""",
    """
ALTER TABLE ValidPaths ADD COLUMN ultimate INTEGER;
ALTER TABLE ValidPaths ADD COLUMN sigs TEXT;
""",
)
"""What each version adds to the one before. A store of an older version is brought forward when it is opened.

A step only adds tables, and columns that may be empty: a host that goes back to the generation before runs the runtime of that
time, which must read what a newer one made.
"""
VERSION: Final = len(_STEPS)


@dataclass(frozen=True)
class PathInfo:
    """What is registered of a valid path."""

    path: str
    nar_hash: str
    """`sha256:` and base 32."""
    nar_size: int
    references: Tuple[str, ...] = ()
    deriver: str = ""
    ca: str = ""
    """How its content made its name (`fixed:r:sha256:…`, `text:sha256:…`); empty where its inputs did."""
    signatures: Tuple[str, ...] = ()
    """`KEY:SIGNATURE` of those who vouch for it."""
    registration_time: int = 0
    """Seconds since 1970; 0: when it is registered."""
    ultimate: bool = False
    """Whether it was built here, so that nobody need vouch for it."""


class Database:
    """One process's connections to the file. A connection serves one call at a time, in any thread."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open, or make, the file. Raises `StoreUnusable` and `StoreFull`."""
        self._path = path
        self._serving = threading.RLock()
        try:
            if read_only:
                self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY, check_same_thread=False)
            else:
                self._connection = sqlite3.connect(str(path), timeout=BUSY, check_same_thread=False)
                self._prepare()
        except sqlite3.Error as error:
            raise _translate(error, path) from None

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, durably, or nothing. Raises `StoreUnusable` and `StoreFull`."""
        connection = self._connection
        with self._serving:
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:  # SQLite itself goes back where the disk is full
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise _translate(error, self._path) from None

    def valid(self, paths: Collection[str]) -> Set[str]:
        """Those that are valid."""
        found: Set[str] = set()
        for some in _chunks(list(paths)):
            marks = ",".join("?" * len(some))
            found.update(row[0] for row in self._rows(f"SELECT path FROM ValidPaths WHERE path IN ({marks})", some))
        return found

    def query(self, path: str) -> Optional[PathInfo]:
        """What is registered of a path."""
        rows = self._rows(
            "SELECT id, hash, narSize, deriver, ca, sigs, registrationTime, ultimate FROM ValidPaths WHERE path = ?", [path]
        )
        if not rows:
            return None
        number, nar_hash, nar_size, deriver, ca, signatures, registered, ultimate = rows[0]
        references = self._rows(
            "SELECT path FROM Refs JOIN ValidPaths ON id = reference WHERE referrer = ? ORDER BY path", [number]
        )
        return PathInfo(
            path,
            nar_hash,
            nar_size,
            tuple(row[0] for row in references),
            deriver or "",
            ca or "",
            tuple((signatures or "").split()),
            registered,
            bool(ultimate),
        )

    def beginning_with(self, prefix: str) -> Optional[str]:
        """The first valid path, by name, that begins so."""
        rows = self._rows("SELECT path FROM ValidPaths WHERE path >= ? ORDER BY path LIMIT 1", [prefix])
        return str(rows[0][0]) if rows and rows[0][0].startswith(prefix) else None

    def referrers(self, path: str) -> Tuple[str, ...]:
        """The paths that refer to a path, without itself."""
        rows = self._rows(
            "SELECT a.path FROM Refs JOIN ValidPaths a ON a.id = referrer JOIN ValidPaths b ON b.id = reference"
            " WHERE b.path = ? AND a.id != b.id ORDER BY a.path",
            [path],
        )
        return tuple(row[0] for row in rows)

    def all_paths(self) -> Tuple[str, ...]:
        """Every valid path."""
        return tuple(row[0] for row in self._rows("SELECT path FROM ValidPaths ORDER BY path", []))

    def graph(self) -> Dict[str, Tuple[str, ...]]:
        """Every valid path and what it refers to."""
        references: Dict[str, List[str]] = {path: [] for path in self.all_paths()}
        for referrer, reference in self._rows(
            "SELECT a.path, b.path FROM Refs JOIN ValidPaths a ON a.id = referrer JOIN ValidPaths b ON b.id = reference", []
        ):
            references[referrer].append(reference)
        return {path: tuple(found) for path, found in references.items()}

    def derivers(self) -> Dict[str, str]:
        """Of every valid path that was built, the derivation; it need not be valid."""
        return dict(self._rows("SELECT path, deriver FROM ValidPaths WHERE deriver IS NOT NULL", []))

    def register(self, infos: Iterable[PathInfo]) -> None:
        """Make paths valid, in one transaction. References must be valid, or among them."""
        infos = list(infos)
        now = int(time.time())
        with self.writing() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO ValidPaths (path, hash, registrationTime, deriver, narSize, ca, sigs, ultimate)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        info.path,
                        info.nar_hash,
                        info.registration_time or now,
                        info.deriver or None,
                        info.nar_size,
                        info.ca or None,
                        " ".join(sorted(set(info.signatures))) or None,
                        int(info.ultimate) or None,
                    )
                    for info in infos
                ],
            )
            connection.executemany(
                # Not OR IGNORE, which would also drop a reference to what is not valid, and with it what keeps that alive.
                "INSERT INTO Refs (referrer, reference) VALUES"
                " ((SELECT id FROM ValidPaths WHERE path = ?), (SELECT id FROM ValidPaths WHERE path = ?))"
                " ON CONFLICT (referrer, reference) DO NOTHING",
                [(info.path, reference) for info in infos for reference in info.references],
            )

    def add_signatures(self, path: str, signatures: Iterable[str]) -> None:
        """Keep more signatures of a valid path."""
        with self.writing() as connection:
            for (known,) in connection.execute("SELECT sigs FROM ValidPaths WHERE path = ?", (path,)).fetchall():
                together = " ".join(sorted({*(known or "").split(), *signatures}))
                connection.execute("UPDATE ValidPaths SET sigs = ? WHERE path = ?", (together or None, path))

    def invalidate(self, paths: Iterable[str]) -> None:
        """Make paths invalid that nothing valid refers to, in one transaction."""
        with self.writing() as connection:
            for path in paths:
                connection.execute("DELETE FROM Refs WHERE referrer = (SELECT id FROM ValidPaths WHERE path = ?)", (path,))
            connection.executemany("DELETE FROM ValidPaths WHERE path = ?", [(path,) for path in paths])

    def _prepare(self) -> None:
        connection = self._connection
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version < VERSION:
            with self.writing():
                # Another process may have done it while we waited.
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                for step in _STEPS[version:]:
                    for statement in filter(None, map(str.strip, step.split(";"))):
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")

    def _rows(self, query: str, parameters: List[object]) -> List[Tuple[Any, ...]]:
        try:
            with self._serving:
                return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise _translate(error, self._path) from None


def nix_hash(layout: Layout, path: str) -> str:
    """The hash that a real Nix of this machine has registered of a path; empty where it has none."""
    file = layout.nix_database / "db.sqlite"
    if not file.exists():
        return ""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=BUSY)) as connection:
            rows = connection.execute("SELECT hash FROM ValidPaths WHERE path = ?", (path,)).fetchall()
    except sqlite3.Error as error:
        raise _translate(error, file) from None
    return Hash.parse(rows[0][0]).base32 if rows else ""


def _translate(error: sqlite3.Error, path: Path) -> StoreError:
    """SQLite says that a disk is full in words; Python 3.9 has no code for it."""
    reason = str(error)
    return (StoreFull if reason == _FULL else StoreUnusable)(str(path), reason)


def _chunks(items: List[str]) -> Iterator[List[object]]:
    for at in range(0, len(items), _VARIABLES):
        yield list(items[at : at + _VARIABLES])
