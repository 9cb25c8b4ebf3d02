"""What evaluations came to, on the disk: found again while every file, package and fact that they hang on is what it was.

It is a cache and nothing more. An entry that is damaged, or that any input speaks against, is as if it were not there; whatever
is built is evaluated anew, and compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import yaml

import deployer
from deployer.config.by_facts import values_of
from deployer.config.host_view import HostView
from deployer.config.inputs import state_of
from deployer.config.library_place import library_directory
from deployer.errors import DeployerError
from deployer.formats import StorePath
from deployer.generation.making import Leant
from deployer.generation.outline import Outline
from deployer.generation.runtime import Runtime
from deployer.packages import PackageSet

MAX_SYSTEMS: Final = 20_000
"""That are kept of one configuration."""
MAX_CONFIGURATIONS: Final = 1_000
CLOCK: Final = 0.05
"""Seconds by which the times of files may be behind the clock."""
_SCHEMA: Final = 1
_PATIENCE: Final = 2.0
"""Seconds to wait for another process that writes; after that there is no cache."""
_ROOMS: Final = ("config", "generation", "packages")
"""Whose code decides what an evaluation comes to, besides the runtime's."""
_TABLES: Final = f"""
BEGIN IMMEDIATE;
DROP TABLE IF EXISTS configuration;
DROP TABLE IF EXISTS system;
CREATE TABLE configuration (path TEXT PRIMARY KEY, version TEXT NOT NULL, inputs TEXT NOT NULL, facts TEXT NOT NULL);
CREATE TABLE system (
    path TEXT NOT NULL, facts TEXT NOT NULL, output TEXT NOT NULL, manifest BLOB NOT NULL, aside BLOB NOT NULL,
    warnings TEXT NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (path, facts)
);
PRAGMA user_version = {_SCHEMA};
COMMIT;
"""
_T = TypeVar("_T")


def version_of(runtime: Runtime) -> str:
    """A word that differs for any two versions of us, of the module library, of Python or of the parser of YAML."""
    package = Path(deployer.__file__).parent
    files = [package / "yaml_source.py", *library_directory().glob("*.py")]
    files += [file for room in _ROOMS for file in (package / room).rglob("*.py")]
    digest = hashlib.sha256(f"{runtime.path} {sys.hexversion} {yaml.__version__} {yaml.__with_libyaml__}".encode())
    for file in sorted(files):
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)} ".encode() + content)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the systems of one configuration hang on besides facts, with the state of each."""

    files: Mapping[str, str]
    packages: Mapping[str, str]
    """Names of those that are referred to, and their outputs."""
    names: str
    """The digest of the names of all packages."""

    @classmethod
    def now(cls, leant: Leant, packages: PackageSet) -> Inputs:
        """As they are at this moment."""
        outputs = {name: packages.output_path(name) for name in sorted(leant.packages)}
        return cls({path: state_of(path) for path in sorted(leant.inputs.paths)}, outputs, _names(packages))

    def hold(self, packages: PackageSet, state: Callable[[str], str]) -> bool:
        """Whether all is as it was."""
        if self.names != _names(packages) or any(state(path) != known for path, known in self.files.items()):
            return False
        try:
            return all(packages.output_path(name) == output for name, output in self.packages.items())
        except DeployerError:
            return False

    def extend(self, other: Inputs) -> bool:
        """Whether these are all of another's inputs, unchanged, and perhaps more."""
        files, packages = other.files.items() <= self.files.items(), other.packages.items() <= self.packages.items()
        return files and packages and self.names == other.names

    def to_json(self) -> str:
        """As a text."""
        return json.dumps([self.files, self.packages, self.names])


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one host came to."""

    host: HostView
    facts: tuple[str, ...]
    """Names of those that it was made from, in order."""
    outline: Outline


@dataclass(slots=True)
class EvaluationCache:
    """Outlines of systems by configuration and facts, in one SQLite file. Never raises: without it all is made anew."""

    file: Path
    version: str
    _states: dict[str, str] = field(default_factory=dict)

    def find(self, configuration: Path, hosts: Iterable[HostView], packages: PackageSet) -> dict[str, Outline]:
        """What is known of hosts of one configuration, by host name."""
        path, wanted = os.path.abspath(configuration), [*hosts]

        def look_up(connection: sqlite3.Connection) -> dict[str, Outline]:
            known = self._configuration(connection, path)
            if known is None or not known[0].hold(packages, self._state):
                return {}
            found: dict[str, Outline] = {}
            for host in wanted:
                outlines = (self._system(connection, path, _facts(host, names)) for names in known[1])
                outline = next((one for one in outlines if one is not None), None)
                if outline is not None:
                    found[host.name] = outline
            return found

        return self._within(look_up, {})

    def keep(self, configuration: Path, inputs: Inputs, made: Iterable[Evaluated]) -> None:
        """Keep the outlines of hosts of one configuration."""
        path, evaluated = os.path.abspath(configuration), [*made]
        rows = [self._row(path, _facts(one.host, one.facts), one.outline) for one in evaluated]

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            facts = {one.facts for one in evaluated}
            known = self._configuration(connection, path)
            if known is not None and inputs.extend(known[0]):
                facts |= {*known[1]}
            else:
                connection.execute("DELETE FROM system WHERE path = ?", (path,))
            row = (path, self.version, inputs.to_json(), json.dumps(sorted(facts)))
            connection.execute("INSERT OR REPLACE INTO configuration VALUES (?, ?, ?, ?)", row)
            connection.executemany("INSERT OR REPLACE INTO system VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            _forget_the_oldest(connection, path)
            connection.execute("COMMIT")

        self._within(write, None)

    def _state(self, path: str) -> str:
        if path not in self._states:
            self._states[path] = state_of(path)
        return self._states[path]

    def _configuration(self, connection: sqlite3.Connection, path: str) -> tuple[Inputs, list[tuple[str, ...]]] | None:
        row = connection.execute("SELECT version, inputs, facts FROM configuration WHERE path = ?", (path,)).fetchone()
        if row is None or row[0] != self.version:
            return None
        return Inputs(*json.loads(row[1])), [tuple(names) for names in json.loads(row[2])]

    def _system(self, connection: sqlite3.Connection, path: str, facts: str) -> Outline | None:
        columns = "output, manifest, aside, warnings, digest"
        row = connection.execute(f"SELECT {columns} FROM system WHERE path = ? AND facts = ?", (path, facts)).fetchone()
        if row is None or row[4] != self._digest(path, facts, *row[:4]):
            return None
        return Outline.parse(StorePath.parse(row[0]), zlib.decompress(row[1]), row[2], tuple(json.loads(row[3])))

    def _row(self, path: str, facts: str, outline: Outline) -> tuple[object, ...]:
        content = str(outline.output), zlib.compress(outline.manifest, 1), outline.aside(), json.dumps(outline.warnings)
        return (path, facts, *content, self._digest(path, facts, *content))

    def _digest(self, *parts: str | bytes) -> bytes:
        """Of a row, for this version."""
        digest = hashlib.sha256(self.version.encode())
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            digest.update(f" {len(data)} ".encode() + data)
        return digest.digest()

    def _within(self, work: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        """Do something with the file. A damaged one is removed; whatever fails, it is as if nothing were known."""
        try:
            with contextlib.closing(self._open()) as connection:
                return work(connection)
        except (OSError, sqlite3.OperationalError):
            return otherwise
        except (sqlite3.DatabaseError, DeployerError, ValueError, TypeError, zlib.error):
            self.file.unlink(missing_ok=True)
            return otherwise

    def _open(self) -> sqlite3.Connection:
        directory = self.file.parent
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = directory.stat()
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(directory)
        connection = sqlite3.connect(self.file, timeout=_PATIENCE, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = OFF")
            if connection.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA:
                connection.executescript(_TABLES)
        except BaseException:
            connection.close()
            raise
        return connection


def _forget_the_oldest(connection: sqlite3.Connection, path: str) -> None:
    kept = "SELECT rowid FROM system WHERE path = ? ORDER BY rowid DESC LIMIT ?"
    connection.execute(f"DELETE FROM system WHERE path = ? AND rowid NOT IN ({kept})", (path, path, MAX_SYSTEMS))
    kept = "SELECT rowid FROM configuration ORDER BY rowid DESC LIMIT ?"
    connection.execute(f"DELETE FROM configuration WHERE rowid NOT IN ({kept})", (MAX_CONFIGURATIONS,))
    connection.execute("DELETE FROM system WHERE path NOT IN (SELECT path FROM configuration)")


def _names(packages: PackageSet) -> str:
    return hashlib.sha256(json.dumps(sorted(packages.names())).encode()).hexdigest()


def _facts(host: HostView, names: Sequence[str]) -> str:
    """Facts and a host's values of them, as one word."""
    return hashlib.sha256(json.dumps([[*names], values_of(host, names)]).encode()).hexdigest()


def changed_since(paths: Iterable[str], moment: float) -> bool:
    """Whether anything may have changed since a moment of the clock, so that what was read then may be something else now."""
    return any(_changed(path) >= moment - CLOCK for path in paths)


def _changed(path: str) -> float:
    """When; of the directory that it would be in, where it is not there."""
    while True:
        try:
            return os.stat(path).st_ctime
        except OSError:
            if path == os.path.dirname(path):
                return 0.0
            path = os.path.dirname(path)
