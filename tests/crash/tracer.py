"""Running work under ptrace(2), to the call: every system call of it that changes the disk is counted, and at one of them
a fault is put in.

It runs on a lab host, on the host's own Python. The child installs a seccomp filter that stops it at the calls of `_CALLS` and
at no others, so it runs at almost full speed; its threads and its children are followed. A killed child takes all of them
with it, as systemd kills a service's whole group. The calls are those of x86-64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import struct
import sys
from dataclasses import dataclass, field
from typing import Callable, Dict, Final, List, Optional, Set, Tuple

BEFORE: Final = "before"
"""Killed, and the call does not happen."""
AFTER: Final = "after"
"""Killed once the call has happened, and nothing after it."""

_CALLS: Final[Dict[int, Tuple[str, str]]] = {
    # Name, and what its first arguments are: d a directory and then a path in it, p a path, f a descriptor.
    1: ("write", "f"),
    18: ("pwrite64", "f"),
    20: ("writev", "f"),
    296: ("pwritev", "f"),
    328: ("pwritev2", "f"),
    40: ("sendfile", "f"),
    326: ("copy_file_range", "--f"),
    2: ("open", "p"),
    85: ("creat", "p"),
    257: ("openat", "dp"),
    437: ("openat2", "dp"),
    74: ("fsync", "f"),
    75: ("fdatasync", "f"),
    162: ("sync", ""),
    306: ("syncfs", "f"),
    277: ("sync_file_range", "f"),
    26: ("msync", ""),
    76: ("truncate", "p"),
    77: ("ftruncate", "f"),
    285: ("fallocate", "f"),
    82: ("rename", "pp"),
    264: ("renameat", "dpdp"),
    316: ("renameat2", "dpdp"),
    83: ("mkdir", "p"),
    258: ("mkdirat", "dp"),
    84: ("rmdir", "p"),
    86: ("link", "pp"),
    265: ("linkat", "dpdp"),
    87: ("unlink", "p"),
    263: ("unlinkat", "dp"),
    88: ("symlink", "-p"),
    266: ("symlinkat", "-dp"),
    90: ("chmod", "p"),
    91: ("fchmod", "f"),
    268: ("fchmodat", "dp"),
    452: ("fchmodat2", "dp"),
    92: ("chown", "p"),
    93: ("fchown", "f"),
    94: ("lchown", "p"),
    260: ("fchownat", "dp"),
    133: ("mknod", "p"),
    259: ("mknodat", "dp"),
    132: ("utime", "p"),
    235: ("utimes", "p"),
    261: ("futimesat", "dp"),
    280: ("utimensat", "dp"),
    188: ("setxattr", "p"),
    189: ("lsetxattr", "p"),
    190: ("fsetxattr", "f"),
    197: ("removexattr", "p"),
    198: ("lremovexattr", "p"),
    199: ("fremovexattr", "f"),
    165: ("mount", "-p"),
    166: ("umount2", "p"),
}
_WRITES: Final = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range")
_MAKES: Final = os.O_CREAT | os.O_TRUNC
_AT_CWD: Final = -100
_LONGEST_PATH: Final = 4096
_PAGE: Final = 4096

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_TRACEME, _CONT, _POKEUSER, _SYSCALL = 0, 7, 6, 24
_SETOPTIONS, _GET_SYSCALL_INFO = 0x4200, 0x420E
_EVENT_EXEC: Final = 4
_EVENT_SECCOMP: Final = 7
_OPTIONS: Final = 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x80 | 0x100000
"""Tell system call stops apart; follow forks, vforks, clones and execs; stop for seccomp; die with the tracer."""
_RAX, _ORIG_RAX = 80, 120
_WALL: Final = 0x40000000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_ARCH_X86_64: Final = 0xC000003E
_INFO: Final = struct.Struct("<B3xIQQQ6Q")


@dataclass(frozen=True)
class Fault:
    """What happens at the call of one number."""

    number: int
    """Counted from 0."""
    kill: str = ""
    """`BEFORE` or `AFTER`."""
    error: int = 0
    """Instead: the call fails with this, and does not happen."""


@dataclass
class Trace:
    """What work did."""

    calls: List[str] = field(default_factory=list)
    """Each that changes the disk, in order: `openat /etc/.deployer-…`."""
    programs: List[int] = field(default_factory=list)
    """How many of them had been made when each program was started."""
    status: Optional[int] = None
    """The exit status; None where it was killed."""
    hit: bool = False
    """Whether the fault happened."""


def traced(work: Callable[[], int], fault: Optional[Fault] = None) -> Trace:
    """Run `work` in a child, with a fault or without."""
    child = os.fork()
    if child == 0:
        _be_traced(work)
    os.waitpid(child, _WALL)
    _ptrace(_SETOPTIONS, child, 0, _OPTIONS)
    _ptrace(_CONT, child, 0, 0)
    return _follow(child, fault)


def _be_traced(work: Callable[[], int]) -> None:
    status = 111
    try:
        _LIBC.ptrace(_TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        _install_filter()
        status = work()
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _follow(child: int, fault: Optional[Fault]) -> Trace:
    trace, alive = Trace(), {child}
    leaving: Set[int] = set()
    while alive:
        pid, status = os.waitpid(-1, _WALL)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            alive.discard(pid)
            if pid == child:
                trace.status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
            continue
        alive.add(pid)
        number, event = os.WSTOPSIG(status), status >> 16
        resume, deliver = _CONT, 0
        if event == _EVENT_EXEC:
            trace.programs.append(len(trace.calls))
        if event == _EVENT_SECCOMP:
            call = _describe(pid)
            if call:
                ours = fault is not None and fault.number == len(trace.calls)
                trace.calls.append(call)
                if ours and fault is not None:
                    trace.hit = True
                    if fault.error:
                        _ptrace(_POKEUSER, pid, _ORIG_RAX, -1)
                        _ptrace(_POKEUSER, pid, _RAX, -fault.error)
                    elif fault.kill == BEFORE:
                        _kill(alive)
                    else:
                        leaving.add(pid)
                        resume = _SYSCALL
        elif number == signal.SIGTRAP | 0x80:
            if pid in leaving:
                _kill(alive)
        elif event == 0 and number not in (signal.SIGTRAP, signal.SIGSTOP):
            deliver = number
        try:
            _ptrace(resume, pid, 0, deliver)
        except ProcessLookupError:
            continue
    return trace


def _kill(pids: Set[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _describe(pid: int) -> str:
    """The call that a process is about to make, for people; empty where it changes no disk (`/run` is memory)."""
    buffer = ctypes.create_string_buffer(_INFO.size)
    _ptrace(_GET_SYSCALL_INFO, pid, _INFO.size, ctypes.addressof(buffer))
    _, _, _, _, nr, *arguments = _INFO.unpack(buffer.raw)
    name, shape = _CALLS[nr]
    if name in ("open", "openat") and not arguments[1 if name == "open" else 2] & _MAKES:
        return ""
    if name in _WRITES and not _is_file(pid, arguments[shape.index("f")]):
        return ""
    places = _places(pid, shape, arguments)
    return "" if places and all(place.startswith("/run/") for place in places) else " ".join([name, *places])


def _places(pid: int, shape: str, arguments: List[int]) -> List[str]:
    places: List[str] = []
    base = f"/proc/{pid}/cwd"
    for letter, argument in zip(shape, arguments, strict=False):
        if letter == "d":
            descriptor = ctypes.c_int(argument & 0xFFFFFFFF).value
            base = f"/proc/{pid}/cwd" if descriptor == _AT_CWD else f"/proc/{pid}/fd/{descriptor}"
        elif letter == "p":
            path = _text(pid, argument)
            places.append(os.path.normpath(os.path.join(_target(base), path)) if argument else _target(base))
        elif letter == "f":
            places.append(_target(f"/proc/{pid}/fd/{argument}"))
    return places


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return "?"


def _is_file(pid: int, descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.stat(f"/proc/{pid}/fd/{descriptor}").st_mode)
    except OSError:
        return False


def _text(pid: int, address: int) -> str:
    if not address:
        return ""
    text = b""
    try:
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            memory.seek(address)
            while b"\0" not in text and len(text) < _LONGEST_PATH:
                # A page at a time: the next one need not be there.
                text += memory.read(_PAGE - (address + len(text)) % _PAGE)
    except (OSError, ValueError):
        return "?"
    return text.split(b"\0", 1)[0].decode(errors="replace")


def _install_filter() -> None:
    """Stop at the calls of `_CALLS`; let all others pass."""
    allow, stop = 0x7FFF0000, 0x7FF00000
    numbers = sorted(_CALLS)
    # BPF: load the architecture, let another one pass, load the number, compare it with each, allow, stop.
    code = [(0x20, 0, 0, 4), (0x15, 0, len(numbers) + 1, _ARCH_X86_64), (0x20, 0, 0, 0)]
    code += [(0x15, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    code += [(0x06, 0, 0, allow), (0x06, 0, 0, stop)]
    program = b"".join(struct.pack("<HBBI", *line) for line in code)
    text = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("<H6xQ", len(code), ctypes.addressof(text)))
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _FILTER, ctypes.addressof(header), 0, 0)):
        if _LIBC.prctl(*[ctypes.c_ulong(argument) for argument in arguments]) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def _ptrace(request: int, pid: int, address: int, data: int) -> None:
    _LIBC.ptrace.restype = ctypes.c_long
    done = _LIBC.ptrace(
        ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_void_p(address), ctypes.c_void_p(data & (1 << 64) - 1)
    )
    if done == -1:
        number = ctypes.get_errno()
        if number == errno.ESRCH:
            raise ProcessLookupError(number, os.strerror(number))
        if number:
            raise OSError(number, os.strerror(number))
