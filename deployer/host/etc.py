"""Making `/etc` as declared, entry by entry, with an undo record before each effect; and undoing it.

What stands in the way and is not ours is refused, unless its entry says `replace`: then it is set aside, and comes back when
the entry goes. What is ours but was changed by hand since is never lost: it is kept aside before it is overwritten.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import Any, Callable, Dict, Final, Iterable, List, Optional, Tuple

from deployer.errors import DeploymentError
from deployer.formats import manifest as m
from deployer.formats.manifest import EtcEntry
from deployer.formats.messages import Action
from deployer.host.account_files import Ids
from deployer.host.disk import Disk
from deployer.host.disk_entry import DIRECTORY, FILE, LINK, OTHER, Entry
from deployer.host.fingerprints import ABSENT, directory_fingerprint, fingerprint, fingerprint_of, left_as
from deployer.host.ledger import Metadata, Original, OwnedPath, original_from
from deployer.host.paths import BEFORE, CURRENT, ETC, KEPT, ORIGINALS
from deployer.host.undo import UndoLog

LONGEST_NAME: Final = 255
"""Bytes, as Linux's file systems have it."""
_PARENT: Final = Metadata(0o755, 0, 0)
_PRIVATE: Final = Metadata(0o600, 0, 0)


class PathTaken(DeploymentError):
    """Something that is not ours stands where an entry belongs."""

    path: str
    found: str

    @property
    def message(self) -> str:
        """What stands where."""
        return f"{self.path} is there already and is not deployer's: it is a {self.found}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Set `replace: true` on the entry, or move what is there out of the way."


class ContentDamaged(DeploymentError):
    """A file in the store is not what the manifest says."""

    path: str

    @property
    def message(self) -> str:
        """Which."""
        return f"the content of /etc/{self.path} in the store does not match its manifest"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "The host's disk may be failing: check it, remove the damaged store path, and deploy again."


def kept_name(prefix: str, path: str) -> str:
    """Where a version that somebody wrote by hand is kept: the name of `path` is in it, as far as a name may be long."""
    name = os.fsencode(f"{prefix}-{path.rpartition('/')[2]}")[:LONGEST_NAME]
    return f"{KEPT}/{os.fsdecode(name)}"


def link_target(path: str) -> str:
    """Where the link of an entry of kind `link` points."""
    return f"{CURRENT}/etc/{path}"


class EtcWriter:
    """Brings entries to the disk and takes them away, for one transaction."""

    def __init__(self, disk: Disk, undo: UndoLog, *, system: str, tag: str, note: Callable[[Action], None]) -> None:
        """`system` is the store path that holds the contents; `tag` makes the names of kept copies unique."""
        self._disk, self._undo, self._system, self._tag, self._note = disk, undo, system, tag, note
        self._ids = Ids(disk)
        self._copies = 0

    def put(self, entry: EtcEntry, owned: Optional[OwnedPath], made: List[str]) -> OwnedPath:
        """Make `/etc/PATH` as declared; return what the ledger is to say. Directories made on the way are added to `made`."""
        path = f"{ETC}/{entry.path}"
        wanted, content = self._wanted(entry)
        wish = left_as(wanted)
        if fingerprint(self._disk, path) == wish:
            return dataclasses.replace(owned or dataclasses.replace(wanted, adopted=True), **_as_declared(wanted))
        found = self._disk.entry(path)
        original = owned.original if owned else None
        if found is not None:
            if owned is None or owned.adopted:
                original = self._set_aside(path, found, entry, adopted=owned is not None)
            elif fingerprint(self._disk, path) != left_as(owned):
                self._keep(path, found)
        self._make_parents(path, made)
        self._record(path, found, wish, original if found is not None and (owned is None or owned.adopted) else None)
        if found is not None and (found.kind == DIRECTORY) != (wanted.kind == m.DIRECTORY):
            self._clear(path, found)
        self._place(path, wanted, content)
        return dataclasses.replace(wanted, original=original)

    def take_away(self, relative: str, owned: OwnedPath) -> None:
        """Remove an entry of ours; what was set aside for it comes back."""
        path = f"{ETC}/{relative}"
        if owned.adopted:
            return
        found = self._disk.entry(path)
        now = fingerprint(self._disk, path)
        if now == fingerprint_of(self._disk, owned.original):
            return
        if found is not None and now != left_as(owned):
            self._keep(path, found)
        self._record(path, found, fingerprint_of(self._disk, owned.original))
        restore(self._disk, path, owned.original)

    def set_aside(self, path: str) -> None:
        """Remove a file that somebody put there; what it said is kept."""
        found = self._disk.entry(path)
        if found is not None:
            self._keep(path, found, "it was put there by hand")
            self._record(path, found, ABSENT)
            restore(self._disk, path, None)

    def drop_directory(self, path: str) -> bool:
        """Remove a directory that we made, if nothing is in it any more."""
        found = self._disk.entry(path)
        if found is None:
            return True
        if found.kind != DIRECTORY or self._disk.names(path):
            return False
        self._record(path, found, ABSENT)
        return self._disk.remove_directory(path)

    # -- details ---------------------------------------------------------------------------------------------------------

    def _wanted(self, entry: EtcEntry) -> Tuple[OwnedPath, bytes]:
        if entry.kind == m.LINK:
            return OwnedPath(m.LINK, target=link_target(entry.path)), b""
        if entry.kind == m.SYMLINK:
            return OwnedPath(m.SYMLINK, target=entry.target), b""
        uid, gid = self._ids.uid(entry.owner), self._ids.gid(entry.group)
        mode = int(entry.mode, 8)
        if entry.kind == m.DIRECTORY:
            return OwnedPath(m.DIRECTORY, mode=mode, uid=uid, gid=gid), b""
        content = self._content(entry)
        return OwnedPath(m.FILE, sha256=hashlib.sha256(content).hexdigest(), mode=mode, uid=uid, gid=gid), content

    def _content(self, entry: EtcEntry) -> bytes:
        source = self._disk.root / self._system.lstrip("/") / "etc" / entry.path
        content = source.read_bytes()
        if entry.sha256 and hashlib.sha256(content).hexdigest() != entry.sha256:
            raise ContentDamaged(entry.path)
        return content

    def _set_aside(self, path: str, found: Entry, entry: EtcEntry, *, adopted: bool) -> Original:
        """What is to come back one day; refuses what may not be replaced."""
        same = entry.kind == m.LINK and fingerprint(self._disk, path) == f"file {entry.sha256} 644 0 0"
        replaceable = found.kind in (FILE, LINK) or (found.kind == DIRECTORY and entry.kind == m.DIRECTORY)
        if not replaceable or not (entry.replace or same or adopted):
            raise PathTaken(path, found.kind if found.kind != OTHER else "device, socket or pipe")
        return self._copy(path, found, ORIGINALS)

    def _keep(self, path: str, found: Entry, why: str = "it was changed by hand") -> None:
        """Never lose what somebody wrote by hand."""
        if found.kind == FILE:
            copy = self._copy(path, found, KEPT).copy
            self._note(Action("kept", "add", copy, f"{path}: {why}"))
        elif found.kind == LINK:
            self._note(Action("etc", "change", path, f"it was a link to {found.target}, made by hand"))

    def _copy(self, path: str, found: Entry, where: str) -> Original:
        if found.kind != FILE:
            return Original(found.kind, "", found.target, found.metadata)
        self._copies += 1
        name = f"{where}/{self._tag}-{self._copies}"
        if where == KEPT:
            name = kept_name(f"{self._tag}-{self._copies}", path)
        self._disk.write(name, self._disk.read(path), _PRIVATE)
        return Original(FILE, name, "", found.metadata)

    def _record(self, path: str, found: Optional[Entry], after: str, copied: Optional[Original] = None) -> None:
        before = None if found is None else copied or self._copy(path, found, BEFORE)
        self._undo.append(
            {
                "op": "path",
                "path": path,
                "before": None if before is None else dataclasses.asdict(before),
                "was": fingerprint(self._disk, path),
                "after": after,
            }
        )

    def _make_parents(self, path: str, made: List[str]) -> None:
        parts = path.split("/")[2:-1]
        above = ETC
        for part in parts:
            above = f"{above}/{part}"
            found = self._disk.entry(above)
            if found is None:
                self._record(above, None, directory_fingerprint(_PARENT))
                self._disk.make_directory(above, _PARENT)
                made.append(above)
            elif found.kind != DIRECTORY:
                raise PathTaken(above, found.kind)

    def _clear(self, path: str, found: Entry) -> None:
        if found.kind == DIRECTORY:
            if not self._disk.remove_directory(path):
                raise PathTaken(path, "directory that is not empty")
        else:
            self._disk.remove(path)

    def _place(self, path: str, wanted: OwnedPath, content: bytes) -> None:
        metadata = Metadata(wanted.mode, wanted.uid, wanted.gid)
        if wanted.kind == m.FILE:
            self._disk.write(path, content, metadata)
        elif wanted.kind == m.DIRECTORY:
            self._disk.make_directory(path, metadata)
        else:
            self._disk.link(path, wanted.target)


def restore(disk: Disk, path: str, before: Optional[Original]) -> None:
    """Put back what stood at a path. As often as it takes."""
    disk.sweep(path)
    found = disk.entry(path)
    if before is None:
        if found is not None and found.kind == DIRECTORY:
            disk.remove_directory(path)
        else:
            disk.remove(path)
        return
    if found is not None and (found.kind == DIRECTORY) != (before.kind == DIRECTORY):
        if found.kind == DIRECTORY:
            disk.remove_directory(path)
        else:
            disk.remove(path)
    above = path.rpartition("/")[0]
    if disk.entry(above) is None:
        disk.make_directory(above, _PARENT)
    if before.kind == DIRECTORY:
        disk.make_directory(path, before.metadata)
    elif before.kind == LINK:
        disk.link(path, before.target, before.metadata)
    else:
        disk.write(path, disk.read(before.copy), before.metadata, keep_time=True)


def undo_path(disk: Disk, record: Dict[str, Any], tag: str, note: Callable[[Action], None]) -> None:
    """Replay one undo record of a path backwards. As often as it takes."""
    path, before = record["path"], original_from(record["before"])
    disk.sweep(path)
    now = fingerprint(disk, path)
    if now == record["was"]:
        return
    if now != record["after"] and now.startswith("file "):
        kept = kept_name(f"{tag}-undo-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}", path)
        disk.write(kept, disk.read(path), _PRIVATE)
        note(Action("kept", "add", kept, f"{path}: it was changed meanwhile"))
    restore(disk, path, before)
    note(Action("etc", "remove" if before is None else "restore", path, "rolled back"))


def in_order_of_removal(paths: Iterable[str], remaining: Iterable[str]) -> Tuple[List[str], List[str]]:
    """Which entries must go before new ones can come (one lies below the other), and which go after; deepest first."""
    stay = set(remaining)
    above = {"/".join(path.split("/")[:depth]) for path in stay for depth in range(1, path.count("/") + 1)}
    early: List[str] = []
    late: List[str] = []
    for path in sorted(paths, reverse=True):
        below_one = any("/".join(path.split("/")[:depth]) in stay for depth in range(1, path.count("/") + 1))
        (early if path in above or below_one else late).append(path)
    return early, late


def _as_declared(wanted: OwnedPath) -> Dict[str, Any]:
    return {name: getattr(wanted, name) for name in ("kind", "sha256", "target", "mode", "uid", "gid")}
