"""What the first process of a sandbox, a copy of the warden (`deployer.sandbox.warden`), does before it becomes the builder."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from deployer.sandbox.networks import NETWORK, bring_loopback_up, library

# What the warden imports, it copies for each sandbox: so, too, it has only that half of `socket` which is in C.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any, Final, List, Mapping, NoReturn, Optional

    Settings = Mapping[str, Any]
    Plan = Mapping[str, Any]

FAILED: Final = 1
"""The status of a build whose sandbox could not be made; why stands in what it printed."""
PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXECUTION, _REMOUNT = 1, 2, 4, 8, 32
_BIND, _RECURSIVE, _PRIVATE = 1 << 12, 1 << 14, 1 << 18
_NO_ATIME, _NO_DIRECTORY_ATIME, _RELATIVE_ATIME = 1 << 10, 1 << 11, 1 << 21
_DETACH: Final = 2
_CLOSE_RANGE: Final = 436
_LAST: Final = 0x7FFFFFFF
_MOST_DESCRIPTORS: Final = 1024
"""More than the warden has, where the kernel is older than 5.9."""
_MOUNT_SETATTR, _HERE, _ALL_BELOW = 442, -100, 0x8000
HOST_NAME: Final = 0x04000000
KILLED: Final = 9
_IGNORED_BY_PYTHON: Final = (13, 25)
"""SIGPIPE and SIGXFSZ: what is ignored, a program would go on ignoring."""
_PARENT_DIED, _SECCOMP, _DROP_FROM_BOUNDS, _NO_NEW_PRIVILEGES, _AMBIENT = 1, 22, 24, 38, 47
_FILTER, _AMBIENT_CLEAR = 2, 4
_CAPABILITIES: Final = 64
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT, _ABSTRACT_SOCKETS_AND_SIGNALS = 444, 446, 3
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


def become(settings: Settings, plan: Plan, output: int, gate: socket, own: int) -> NoReturn:
    """In the copy of this process: make all around it, and be the builder. `own`: the namespaces that it does not share."""
    try:
        # Above all the other end of the gate, and of those before: held here, they would never say that the warden is gone.
        _close_all_but(output, gate.fileno())
        _enter(settings, plan, gate, own)
        if plan.get("builder"):
            _run(plan, output)
        os._exit(0)
    except Refused as refused:
        if refused.args[0]:
            say(output, refused.args[0])
    except BaseException as error:
        say(output, f"the sandbox could not be made: {error}")
    finally:
        os._exit(FAILED)  # Whatever happens, a copy never goes on as the warden.


def _enter(settings: Settings, plan: Plan, gate: socket, own: int) -> None:
    _call("prctl", library.prctl(_PARENT_DIED, KILLED, 0, 0, 0))
    # Only after that is the process that we must not outlive asked to let us go on; if it is gone, this says so.
    try:
        gate.send(b"\0")
        answer = gate.recv(1000)
    except OSError:
        answer = b""
    if answer != b"\0":
        raise Refused(answer.decode())
    os.setsid()
    os.umask(0)
    _compose(settings, plan)
    os.umask(0o022)
    if own & HOST_NAME:
        name_host()
    if own & NETWORK:
        bring_loopback_up()
    _give_up_rights(settings, scoped=plan["network"])


def _compose(settings: Settings, plan: Plan) -> None:
    """A file system in memory becomes the root; the old one stays in sight below it until all is bound."""
    _mount("none", "/", flags=_RECURSIVE | _PRIVATE)
    _mount("deployer", "/tmp", "tmpfs", _NO_SUID | _NO_DEVICES, "mode=0755")
    os.mkdir(f"/tmp{_OLD}", 0o700)
    pivot_root = PIVOT_ROOT[os.uname().machine]
    _call("pivot_root", library.syscall(pivot_root, b"/tmp", f"/tmp{_OLD}".encode()))
    os.chdir("/")
    os.mkdir("/proc", 0o755)
    _mount("proc", "/proc", "proc", _NO_SUID | _NO_DEVICES | _NO_EXECUTION)
    for name in settings["covered"]:
        _mount(f"/proc/{name}", f"/proc/{name}", flags=_BIND)
        forbidden = _READ_ONLY | _NO_SUID | _NO_DEVICES | _NO_EXECUTION
        _mount("none", f"/proc/{name}", flags=_REMOUNT | _BIND | forbidden)
    # These stay writable when the root no longer is: each is a mount of its own, of the same memory.
    for place, mode in (("/dev", 0o755), ("/tmp", 0o1777)):
        os.mkdir(place, mode)
        _mount(place, place, flags=_BIND)
    _make_devices()
    for step in plan["steps"]:
        _carry_out(*step)
    _call("umount", library.umount2(_OLD.encode(), _DETACH))
    os.rmdir(_OLD)
    _mount("none", "/", flags=_REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES)


def _make_devices() -> None:
    for name in _DEVICES:
        os.mknod(f"/dev/{name}", 0o444)
        _show(f"{_OLD}/dev/{name}", f"/dev/{name}", "device")
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/shm", 0o755)
    os.mkdir("/dev/pts", 0o755)
    _mount("devpts", "/dev/pts", "devpts", _NO_SUID | _NO_EXECUTION, "newinstance,ptmxmode=0666,mode=620")


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
        with open(place, "wb") as file:
            file.write(given)
            os.fchmod(file.fileno(), 0o444)
    else:
        source = _OLD + given
        if os.path.isdir(source):
            os.makedirs(place, 0o755, exist_ok=True)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_CLOEXEC, 0o444))
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
        _call("mount_setattr", library.syscall(_MOUNT_SETATTR, _HERE, os.fsencode(place), _ALL_BELOW, attributes, size))
        return
    flags = _NO_SUID | (0 if kind == "device" else _NO_DEVICES) | (_READ_ONLY if kind == "read-only" else 0)
    _mount("none", place, flags=_REMOUNT | _BIND | flags | _locked_flags(place))


def _locked_flags(path: str) -> int:
    """What a mount forbids already must be said again, or it may not be changed."""
    known = os.statvfs(path).f_flag
    pairs = (
        (os.ST_RDONLY, _READ_ONLY),
        (os.ST_NOEXEC, _NO_EXECUTION),
        (os.ST_NOATIME, _NO_ATIME),
        (os.ST_NODIRATIME, _NO_DIRECTORY_ATIME),
        (os.ST_RELATIME, _RELATIVE_ATIME),
    )
    return sum(flag for seen, flag in pairs if known & seen)


def _give_up_rights(settings: Settings, *, scoped: bool) -> None:
    """No capability is left, nor a way to one; then the filter, which is what Nix forbids."""
    _call("prctl", library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _call("prctl", library.prctl(_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0))
    for capability in range(_CAPABILITIES):
        if library.prctl(_DROP_FROM_BOUNDS, capability, 0, 0, 0) != 0:
            break  # This kernel has no more.
    header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    _call("capset", library.capset(header, nothing))
    # Giving up rights may undo this.
    _call("prctl", library.prctl(_PARENT_DIED, KILLED, 0, 0, 0))
    if scoped:
        _leave_abstract_sockets()
    code: Optional[bytes] = settings["filter"]
    if code:
        text = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("@HP", len(code) // 8, ctypes.addressof(text))
        _call("seccomp", library.prctl(_SECCOMP, _FILTER, program, 0, 0))


def _leave_abstract_sockets() -> None:
    """See `deployer.sandbox.network_scope`: kernels before 6.12 can't, and then nothing is done."""
    attributes = struct.pack("=QQQ", 0, 0, _ABSTRACT_SOCKETS_AND_SIGNALS)
    ruleset = library.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset >= 0:
        _call("landlock", library.syscall(_LANDLOCK_RESTRICT, ruleset, 0))


def _run(plan: Plan, output: int) -> NoReturn:
    builder, arguments = plan["builder"], plan["arguments"]
    os.chdir(plan["directory"])
    with open("/dev/null", "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _close_all_but()
    for number in _IGNORED_BY_PYTHON:
        library.signal(number, None)
    try:
        os.execvpe(builder, [builder, *arguments], plan["environment"])
    except OSError as error:
        say(2, f"{builder} can't be run: {error.strerror}")
        os._exit(FAILED)


def _close_all_but(*kept: int) -> None:
    """Of what is neither input nor output."""
    first = 3
    for descriptor in sorted({*kept} - {0, 1, 2}):
        _close_from(first, descriptor - 1)
        first = descriptor + 1
    _close_from(first, _LAST)


def _close_from(first: int, last: int) -> None:
    if first <= last and library.syscall(_CLOSE_RANGE, first, last, 0) != 0:
        os.closerange(first, min(last, _MOST_DESCRIPTORS) + 1)


class Refused(Exception):
    """The text is for people."""


def _mount(source: str, place: str, kind: Optional[str] = None, flags: int = 0, data: Optional[str] = None) -> None:
    words: List[Optional[bytes]] = [None if word is None else os.fsencode(word) for word in (source, place, kind)]
    options = None if data is None else data.encode()
    if library.mount(*words, ctypes.c_ulong(flags), options) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)


def _call(what: str, result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def name_host() -> None:
    """This machine's own name is no build's business. Raises `OSError`."""
    _call("sethostname", library.sethostname(b"localhost", 9))


def say(output: int, text: str) -> None:
    """Tell people, in what a build prints."""
    os.write(output, f"deployer: {text}\n".encode(errors="replace"))
