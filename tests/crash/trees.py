"""Parts of a host's disk, as they were: saved once, brought back before each crash, and told apart afterwards."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import Any, Final

PLACES: Final = ("etc", "home", "var/lib", "nix/var/deployer", "nix/store")
SHALLOW: Final = ("nix/store", "nix/store/.links")
"""Where a name stands for its content: nothing below it is ever written again."""
SKIPPED: Final = ("var/lib/apt", "var/lib/dpkg", "var/lib/systemd", "var/lib/dbus", "etc/.pwd.lock")


def mirror(source: Path, target: Path, place: str) -> None:
    """Make `target/place` as `source/place` is: names, kinds, contents, modes, owners, times."""
    before, after = source / place, target / place
    if not os.path.lexists(before):
        _remove(after)
        return
    if not after.is_dir() or after.is_symlink():
        _remove(after)
        after.parent.mkdir(parents=True, exist_ok=True)
        after.mkdir()
    old, new = _entries(before, place), _entries(after, place)
    for name in new.keys() - old.keys():
        _remove(after / name)
    for name, status in old.items():
        inner = f"{place}/{name}"
        if stat.S_ISDIR(status.st_mode) and place not in SHALLOW:
            mirror(source, target, inner)
        elif name in new and (place in SHALLOW or _same(before / name, status, after / name, new[name])):
            continue
        else:
            _copy(before / name, after / name)
    _take_over(before, after)
    for inner in SHALLOW:
        if inner.rpartition("/")[0] == place:
            mirror(source, target, inner)


def listing(root: Path, place: str) -> dict[str, tuple[Any, ...]]:
    """All that stands in a place, with hashes: kind, mode, owner, and content or target; of a directory no time."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, status in _entries(root / place, place).items():
        path, inner = root / place / name, f"{place}/{name}"
        about = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        if stat.S_ISLNK(status.st_mode):
            found[inner] = ("link", *about[1:], os.readlink(path))
        elif stat.S_ISDIR(status.st_mode):
            found[inner] = ("directory", *about)
            if place not in SHALLOW:
                found.update(listing(root, inner))
        else:
            content = "" if place in SHALLOW else hashlib.sha256(path.read_bytes()).hexdigest()
            found[inner] = ("file", *about, content)
    return found


def _entries(directory: Path, place: str) -> dict[str, os.stat_result]:
    try:
        with os.scandir(directory) as entries:
            return {one.name: one.stat(follow_symlinks=False) for one in entries if f"{place}/{one.name}" not in SKIPPED}
    except FileNotFoundError:
        return {}


def _same(before: Path, old: os.stat_result, after: Path, new: os.stat_result) -> bool:
    fields = (
        ("st_mode", "st_uid", "st_gid")
        if stat.S_ISLNK(old.st_mode)
        else ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns")
    )
    alike = all(getattr(old, name) == getattr(new, name) for name in fields)
    return alike and (not stat.S_ISLNK(old.st_mode) or os.readlink(before) == os.readlink(after))


def _copy(before: Path, after: Path) -> None:
    _remove(after)
    if before.is_dir() and not before.is_symlink():
        shutil.copytree(before, after, symlinks=True, copy_function=_copy_one)
    else:
        _copy_one(str(before), str(after))


def _copy_one(before: str, after: str) -> None:
    shutil.copy2(before, after, follow_symlinks=False)
    status = os.lstat(before)
    os.chown(after, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(after, stat.S_IMODE(status.st_mode))


def _take_over(before: Path, after: Path) -> None:
    status = before.lstat()
    os.chown(after, status.st_uid, status.st_gid)
    os.chmod(after, stat.S_IMODE(status.st_mode))
    os.utime(after, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
