"""The account files on the disk: names to numbers, writing them under their lock, and taking an edit of ours back."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from pathlib import Path
from typing import Any, Dict, Final, Iterator, List, Mapping, Optional, Tuple

from deployer.errors import DeploymentError
from deployer.host.disk import Disk
from deployer.host.ledger import Metadata
from deployer.host.paths import BEFORE
from deployer.host.subordinate_ids import SUBGID, SUBUID
from deployer.host.undo import UndoLog

FILES: Final = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", SUBUID, SUBGID)
_LINES: Final = (SUBUID, SUBGID)
"""In which a name may have several lines."""
_LOCK: Final = "etc/.pwd.lock"
_LOCK_TIMEOUT: Final = 15.0
_NEW_SECRET: Final = Metadata(0o600, 0, 0)
_MEMBERS: Final = {"/etc/group": (3,), "/etc/gshadow": (2, 3)}
"""Which fields are lists of members."""


class UnknownOwner(DeploymentError):
    """An entry belongs to a user or group that the host does not have."""

    kind: str
    name: str

    @property
    def message(self) -> str:
        """Which."""
        return f"there is no {self.kind} '{self.name}' on this host"

    @property
    def remedy(self) -> str:
        """What to do."""
        return f"Declare the {self.kind}, or name one that the host has."


class AccountsLocked(DeploymentError):
    """Another program is editing the account files."""

    holder: str = ""
    """The program, with its process."""

    @property
    def message(self) -> str:
        """What is locked, and by whom."""
        return f"{self.holder or 'another program'} has been holding the lock of the account files, /etc/.pwd.lock"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Wait for useradd, passwd or the package manager to end, or end it; then deploy again."


class AccountsChanged(DeploymentError):
    """Somebody who takes no lock wrote an account file between our reading and our writing."""

    path: str

    @property
    def message(self) -> str:
        """Which."""
        return f"somebody keeps writing {self.path} without taking the lock of the account files"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Find out who, and deploy again once it has ended."


def read_accounts(disk: Disk) -> Dict[str, str]:
    """The texts of the account files that exist, by path."""
    texts: Dict[str, str] = {}
    for path in FILES:
        with contextlib.suppress(FileNotFoundError):
            texts[path] = disk.read(path).decode("utf-8", "surrogateescape")
    return texts


class Ids:
    """Names of this host's users and groups to numbers. The files are read when first asked, and again after `forget`."""

    def __init__(self, disk: Disk) -> None:
        """Of the host whose disk it is: not through NSS, whose answers may come from a network."""
        self._disk = disk
        self._known: Dict[str, Dict[str, int]] = {}

    def uid(self, name: str) -> int:
        """Of a user. Raises `UnknownOwner`."""
        return self._number("user", "/etc/passwd", name)

    def gid(self, name: str) -> int:
        """Of a group. Raises `UnknownOwner`."""
        return self._number("group", "/etc/group", name)

    def forget(self) -> None:
        """The files have changed."""
        self._known.clear()

    def _number(self, kind: str, path: str, name: str) -> int:
        if name.isdecimal():
            return int(name)
        if name == "root":
            return 0
        if path not in self._known:
            lines = [line.split(":") for line in read_accounts(self._disk).get(path, "").splitlines()]
            self._known[path] = {line[0]: int(line[2]) for line in lines if len(line) > 3 and line[2].isdecimal()}
        if name not in self._known[path]:
            raise UnknownOwner(kind, name)
        return self._known[path][name]


def write_accounts(disk: Disk, undo: UndoLog, before: Mapping[str, str], texts: Mapping[str, str], tag: str = "") -> bool:
    """Put new texts in the place of `before`, with an undo record before; say whether any differed. Hold `accounts_lock`.

    `tag` tells the copies of one attempt from those of another. Raises `AccountsChanged` where a file no longer is as in
    `before`: those before it in the record are written then, and it is not.
    """
    changed = {path: text for path, text in texts.items() if text != before.get(path)}
    if not changed:
        return False
    record: Dict[str, Any] = {"op": "accounts", "files": {}}
    for path, text in changed.items():
        copy = f"{BEFORE}/account-{path.rpartition('/')[2]}{tag}"
        disk.write(copy, before.get(path, "").encode("utf-8", "surrogateescape"), _NEW_SECRET)
        entry = disk.entry(path)
        mtime = entry.metadata.mtime_ns if entry is not None else -1
        record["files"][path] = {"copy": copy, "after": _digest(text), "mtime_ns": mtime}
        disk.write(f"{copy}.after", text.encode("utf-8", "surrogateescape"), _NEW_SECRET)
    undo.append(record)
    for path, text in changed.items():
        _write(disk, path, text, None, expected=before.get(path))
    return True


def undo_accounts(disk: Disk, record: Mapping[str, Any]) -> None:
    """Take an edit of ours back: exactly where nobody else has changed the file since, else line by line."""
    for path, detail in record["files"].items():
        disk.sweep(path)
        before = disk.read(detail["copy"]).decode("utf-8", "surrogateescape")
        after = disk.read(detail["copy"] + ".after").decode("utf-8", "surrogateescape")
        try:
            now = disk.read(path).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            continue
        if now == before:
            continue
        if detail["mtime_ns"] < 0 and _digest(now) == detail["after"]:
            disk.remove(path)
        elif _digest(now) == detail["after"]:
            _write(disk, path, before, detail["mtime_ns"])
        else:
            _write(disk, path, without_edit(path, before, after, now), None)


def without_edit(path: str, before: str, after: str, now: str) -> str:
    """`now` without what led from `before` to `after`; what others changed since stays."""
    if path in _LINES:
        given = set(after.splitlines()) - set(before.splitlines())
        taken = [line for line in before.splitlines() if line not in after.splitlines()]
        kept = [line for line in now.splitlines() if line not in given]
        return "".join(f"{line}\n" for line in kept + [line for line in taken if line not in kept])
    old, new = _by_name(before), _by_name(after)
    lines: List[str] = []
    present = set()
    for line in now.splitlines():
        name = line.split(":", 1)[0]
        present.add(name)
        was, became = old.get(name), new.get(name)
        if was == became:
            lines.append(line)
        elif was is None:
            continue
        elif line == became or became is None:
            lines.append(was)
        else:
            lines.append(_without_members(path, was, became, line))
    lines += [line for name, line in old.items() if name not in new and name not in present]
    return "".join(line + "\n" for line in lines)


@contextlib.contextmanager
def accounts_lock(disk: Disk) -> Iterator[None]:
    """The lock that `lckpwdf(3)`, and so every account tool, takes. Raises `AccountsLocked`.

    Its file stays: whoever removes it lets two programs in at once, one that waits for the old file and one that makes a new one.
    """
    descriptor = os.open(disk.root / _LOCK, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise AccountsLocked(_holder(os.fstat(descriptor).st_ino)) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def wait_for_lock(disk: Disk) -> None:
    """Until nobody edits the account files. Makes nothing. Raises `AccountsLocked`."""
    if disk.entry(f"/{_LOCK}") is not None:
        with accounts_lock(disk):
            pass


def _holder(inode: int) -> str:
    """Who holds a lock on a file, as proc(5) tells it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == "POSIX" and words[5].endswith(f":{inode}"):
                name = Path(f"/proc/{int(words[4])}/comm").read_text(encoding="utf-8", errors="replace").strip()
                return f"{''.join(letter if letter.isprintable() else '?' for letter in name)} (process {words[4]})"
    return ""


def _write(disk: Disk, path: str, text: str, mtime_ns: Optional[int], expected: Optional[str] = None) -> None:
    def check() -> None:
        if expected is not None and disk.read(path).decode("utf-8", "surrogateescape") != expected:
            raise AccountsChanged(path)

    entry = disk.entry(path)
    secret = Metadata(0o640, 0, Ids(disk).gid("shadow") if _has_shadow_group(disk) else 0)
    usual = secret if "shadow" in path else Metadata(0o644, 0, 0)
    metadata = entry.metadata if entry is not None else usual
    if mtime_ns is not None:
        metadata = Metadata(metadata.mode, metadata.uid, metadata.gid, mtime_ns, metadata.xattrs)
    content = text.encode("utf-8", "surrogateescape")
    disk.write(path, content, metadata, keep_time=mtime_ns is not None, last_look=check)


def _has_shadow_group(disk: Disk) -> bool:
    return "\nshadow:" in "\n" + read_accounts(disk).get("/etc/group", "")


def _by_name(text: str) -> Dict[str, str]:
    return {line.split(":", 1)[0]: line for line in text.splitlines() if line}


def _without_members(path: str, was: str, became: str, now: str) -> str:
    fields: Tuple[int, ...] = _MEMBERS.get(path, ())
    old, new, current = was.split(":"), became.split(":"), now.split(":")
    for index in range(min(len(old), len(new), len(current))):
        if index in fields:
            added = set(new[index].split(",")) - set(old[index].split(","))
            removed = [name for name in old[index].split(",") if name and name not in new[index].split(",")]
            kept = [name for name in current[index].split(",") if name and name not in added]
            current[index] = ",".join(kept + [name for name in removed if name not in kept])
        elif current[index] == new[index]:
            current[index] = old[index]
    return ":".join(current)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
