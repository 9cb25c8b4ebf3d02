"""Being in a root that is made of steps, in a mount namespace of our own."""

from __future__ import annotations

import ctypes
import os
from typing import Final, Optional, Sequence

from deployer.sandbox.launcher.layout import Link, Step, Text

_NEW_NAMESPACE: Final = 0x00020000
_NEW_USER: Final = 0x10000000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXECUTION, _REMOUNT = 1, 2, 4, 8, 32
_NO_ATIME, _NO_DIRECTORY_ATIME, _BIND, _RECURSIVE, _SLAVE, _RELATIVE_ATIME = 1 << 10, 1 << 11, 1 << 12, 1 << 14, 1 << 19, 1 << 21
_DETACH: Final = 2
_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}
_library = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The kernel does not let us make a namespace; the text says what to do."""


def enter(steps: Sequence[Step]) -> None:
    """Be in a root made of `steps`. Raises `Refused`, `OSError`."""
    _unshare()
    _mount("none", "/", flags=_RECURSIVE | _SLAVE)
    # A file system in memory becomes the root; the old one stays in sight below it until all is bound.
    _mount("deployer", "/tmp", "tmpfs", _NO_SUID | _NO_DEVICES, "mode=0755,size=16m")
    old = "/.old"
    os.mkdir(f"/tmp{old}")
    _call("pivot_root", _library.syscall(_PIVOT_ROOT[os.uname().machine], b"/tmp", f"/tmp{old}".encode()), "/tmp")
    os.chdir("/")
    for step in steps:
        _carry_out(step, old)
    _call("umount", _library.umount2(old.encode(), _DETACH), old)
    os.rmdir(old)
    _mount("none", "/", flags=_REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES)


def _carry_out(step: Step, old: str) -> None:
    os.makedirs(os.path.dirname(step.place), exist_ok=True)
    if isinstance(step, Link):
        os.symlink(step.target, step.place)
        return
    if isinstance(step, Text):
        with open(step.place, "wb") as file:
            file.write(step.content)
        return
    source = old + step.source
    os.makedirs(step.place, exist_ok=True)
    _mount(source, step.place, flags=_BIND | _RECURSIVE)
    if step.read_only:
        _mount("none", step.place, flags=_REMOUNT | _BIND | _READ_ONLY | _locked_flags(step.place))


def _locked_flags(path: str) -> int:
    """What a mount forbids already must be said again, or an ordinary user may not change it."""
    known = os.statvfs(path).f_flag
    pairs = (
        (os.ST_NOSUID, _NO_SUID),
        (os.ST_NODEV, _NO_DEVICES),
        (os.ST_NOEXEC, _NO_EXECUTION),
        (os.ST_NOATIME, _NO_ATIME),
        (os.ST_NODIRATIME, _NO_DIRECTORY_ATIME),
        (os.ST_RELATIME, _RELATIVE_ATIME),
    )
    return sum(flag for seen, flag in pairs if known & seen)


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0 and _library.unshare(_NEW_NAMESPACE) == 0:
        return
    if _library.unshare(_NEW_USER | _NEW_NAMESPACE) != 0:
        raise Refused(f"this machine does not let you make a user namespace: {os.strerror(ctypes.get_errno())}")
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    except OSError as error:
        raise Refused(f"this machine does not let you use a user namespace: {error.strerror}") from None


def _mount(source: str, place: str, kind: Optional[str] = None, flags: int = 0, data: Optional[str] = None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, place, kind)]
    options = None if data is None else data.encode()
    _call("mount", _library.mount(*words, ctypes.c_ulong(flags), options), place)


def _call(what: str, result: int, place: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}", place)
