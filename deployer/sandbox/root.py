"""The file system of a sandbox: a root in memory, on which a build finds what its plan shows, and nothing else.

What is the same for all is worked out once, by the warden. The first process of each only carries it out.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from deployer.sandbox.networks import library

TYPE_CHECKING = False
if TYPE_CHECKING:  # See `deployer.sandbox.making`.
    from typing import Any, Callable, Final, Iterator, Optional, Sequence, Tuple

    Call = Tuple[str, Callable[..., Any], Tuple[Any, ...]]
    """What it is about, and what is called. What comes back is nothing where it went well."""

PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXECUTION, _REMOUNT = 1, 2, 4, 8, 32
_BIND, _RECURSIVE, _PRIVATE = 1 << 12, 1 << 14, 1 << 18
_NO_ATIME, _NO_DIRECTORY_ATIME, _RELATIVE_ATIME = 1 << 10, 1 << 11, 1 << 21
_DETACH: Final = 2
_MOUNT_SETATTR, _HERE, _ALL_BELOW = 442, -100, 0x8000
_OLD: Final = "/.old"
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS: Final = {
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "fd": "/proc/self/fd",
    "core": "/proc/kcore",
    "ptmx": "pts/ptmx",
}
_MOUNT: Final = library.mount
_MOUNT.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def frame(covered: Sequence[str]) -> Tuple[Call, ...]:
    """What every sandbox begins with: a file system in memory becomes the root; the old one stays in sight below it.

    `covered`: what of /proc is made read-only.
    """
    return (*_frame(covered),)


def compose(calls: Sequence[Call], steps: Sequence[Tuple[str, str, Any]]) -> None:
    """Make a root of the frame and of the steps of a plan. Raises `OSError`."""
    for what, call, given in calls:
        if call(*given):
            raise _failed(what)
    for step in steps:
        _carry_out(*step)
    # The old root stays in sight until all is bound.
    if library.umount2(_OLD.encode(), _DETACH):
        raise _failed(_OLD)
    os.rmdir(_OLD)
    _mount("none", "/", flags=_REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES)


def _frame(covered: Sequence[str]) -> Iterator[Call]:
    yield _mounting("none", "/", flags=_RECURSIVE | _PRIVATE)
    yield _mounting("deployer", "/tmp", "tmpfs", _NO_SUID | _NO_DEVICES, "mode=0755")
    yield _OLD, os.mkdir, (f"/tmp{_OLD}", 0o700)
    yield "pivot_root", library.syscall, (PIVOT_ROOT[os.uname().machine], b"/tmp", f"/tmp{_OLD}".encode())
    yield "/", os.chdir, ("/",)
    yield "/proc", os.mkdir, ("/proc", 0o755)
    yield _mounting("proc", "/proc", "proc", _NO_SUID | _NO_DEVICES | _NO_EXECUTION)
    for name in covered:
        yield _mounting(f"/proc/{name}", f"/proc/{name}", flags=_BIND)
        forbidden = _READ_ONLY | _NO_SUID | _NO_DEVICES | _NO_EXECUTION
        yield _mounting("none", f"/proc/{name}", flags=_REMOUNT | _BIND | forbidden)
    # These stay writable when the root no longer is: each is a mount of its own, of the same memory.
    for place, mode in (("/dev", 0o755), ("/tmp", 0o1777)):
        yield place, os.mkdir, (place, mode)
        yield _mounting(place, place, flags=_BIND)
    for name in _DEVICES:
        place = f"/dev/{name}"
        yield place, os.mknod, (place, 0o444)
        yield _mounting(_OLD + place, place, flags=_BIND)
        known = os.statvfs(place).f_flag
        if not known & os.ST_NOSUID:
            yield _mounting("none", place, flags=_REMOUNT | _BIND | _NO_SUID | _locked_flags(known))
    for name, target in _DEVICE_LINKS.items():
        yield f"/dev/{name}", os.symlink, (target, f"/dev/{name}")
    yield "/dev/shm", os.mkdir, ("/dev/shm", 0o755)
    yield "/dev/pts", os.mkdir, ("/dev/pts", 0o755)
    yield _mounting("devpts", "/dev/pts", "devpts", _NO_SUID | _NO_EXECUTION, "newinstance,ptmxmode=0666,mode=620")


def _carry_out(kind: str, place: str, given: Any) -> None:
    """One step of a plan: see `deployer.sandbox.cell`."""
    parent = os.path.dirname(place)
    if not os.path.isdir(parent):
        os.makedirs(parent, 0o755)
    if kind == "directory":
        os.makedirs(place, 0o755, exist_ok=True)
    elif kind == "link":
        os.symlink(given, place)
    elif kind == "text":
        file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o444)
        while given:
            given = given[os.write(file, given) :]
        os.close(file)
    else:
        source = _OLD + given
        if not os.path.isdir(source):
            os.close(os.open(place, os.O_CREAT | os.O_CLOEXEC, 0o444))
        elif not os.path.isdir(place):
            os.makedirs(place, 0o755)
        _show(source, place, kind)


def _show(source: str, place: str, kind: str) -> None:
    try:
        _mount(source, place, flags=_BIND)
    except OSError as error:
        if error.errno != errno.EINVAL or kind != "read-only":
            raise
        # Something is mounted in it, and what that hides must stay hidden: all of it is shown, and all of it read-only.
        _mount(source, place, flags=_BIND | _RECURSIVE)
        attributes = struct.pack("=QQQQ", _READ_ONLY | _NO_SUID | _NO_DEVICES, 0, 0, 0)
        size = ctypes.c_size_t(len(attributes))
        if library.syscall(_MOUNT_SETATTR, _HERE, os.fsencode(place), _ALL_BELOW, attributes, size):
            raise _failed(place) from None
        return
    flags = _NO_SUID | (0 if kind == "device" else _NO_DEVICES) | (_READ_ONLY if kind == "read-only" else 0)
    _mount("none", place, flags=_REMOUNT | _BIND | flags | _locked_flags(os.statvfs(place).f_flag))


def _locked_flags(known: int) -> int:
    """What a mount forbids already must be said again, or it may not be changed. `known`: what statvfs(3) says of it."""
    pairs = (
        (os.ST_RDONLY, _READ_ONLY),
        (os.ST_NODEV, _NO_DEVICES),
        (os.ST_NOEXEC, _NO_EXECUTION),
        (os.ST_NOATIME, _NO_ATIME),
        (os.ST_NODIRATIME, _NO_DIRECTORY_ATIME),
        (os.ST_RELATIME, _RELATIVE_ATIME),
    )
    return sum(flag for seen, flag in pairs if known & seen)


def _mount(source: str, place: str, kind: Optional[str] = None, flags: int = 0, data: Optional[str] = None) -> None:
    what, call, given = _mounting(source, place, kind, flags, data)
    if call(*given):
        raise _failed(what)


def _mounting(source: str, place: str, kind: Optional[str] = None, flags: int = 0, data: Optional[str] = None) -> Call:
    words = [None if word is None else os.fsencode(word) for word in (source, place, kind, data)]
    return place, _MOUNT, (*words[:3], flags, words[3])


def _failed(what: str) -> OSError:
    return OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)
