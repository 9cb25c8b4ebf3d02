"""What the first process of a sandbox, a copy of the warden (`deployer.sandbox.warden`), does before it becomes the builder."""

from __future__ import annotations

import ctypes
import os
import struct

from deployer.sandbox.networks import NETWORK, bring_loopback_up, library
from deployer.sandbox.root import compose, frame

# What the warden imports, it copies for each sandbox: so, too, it has only that half of `socket` which is in C.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any, Final, Mapping, NoReturn, Optional

    Settings = Mapping[str, Any]
    Plan = Mapping[str, Any]

FAILED: Final = 1
"""The status of a build whose sandbox could not be made; why stands in what it printed."""
_CLOSE_RANGE: Final = 436
_LAST: Final = 0x7FFFFFFF
_MOST_DESCRIPTORS: Final = 1024
"""More than the warden has, where the kernel is older than 5.9."""
HOST_NAME: Final = 0x04000000
KILLED: Final = 9
_IGNORED_BY_PYTHON: Final = (13, 25)
"""SIGPIPE and SIGXFSZ: what is ignored, a program would go on ignoring."""
_PARENT_DIED, _SECCOMP, _READ_BOUNDS, _DROP_FROM_BOUNDS, _NO_NEW_PRIVILEGES, _AMBIENT = 1, 22, 23, 24, 38, 47
_FILTER, _AMBIENT_CLEAR = 2, 4
_CAPABILITIES: Final = 65
"""One more than there can be."""
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT, _ABSTRACT_SOCKETS_AND_SIGNALS = 444, 446, 3


class Common:
    """What all sandboxes have in common, in the form in which it costs each the least."""

    def __init__(self, settings: Settings) -> None:
        """`settings`: see `deployer.sandbox.cell`."""
        self.frame = frame(settings["covered"])
        self.capabilities = next(number for number in range(_CAPABILITIES) if library.prctl(_READ_BOUNDS, number, 0, 0, 0) < 0)
        self.filter: Optional[bytes] = None
        code: Optional[bytes] = settings["filter"]
        if code:
            self._code = ctypes.create_string_buffer(code, len(code))
            self.filter = struct.pack("@HP", len(code) // 8, ctypes.addressof(self._code))


def become(common: Common, plan: Plan, output: int, gate: socket, own: int) -> NoReturn:
    """In the copy of this process: make all around it, and be the builder. `own`: the namespaces that it does not share."""
    try:
        # Above all the other end of the gate, and of those before: held here, they would never say that the warden is gone.
        _close_all_but(output, gate.fileno())
        _enter(common, plan, gate, own)
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


def _enter(common: Common, plan: Plan, gate: socket, own: int) -> None:
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
    compose(common.frame, plan["steps"])
    os.umask(0o022)
    if own & HOST_NAME:
        name_host()
    if own & NETWORK:
        bring_loopback_up()
    _give_up_rights(common, scoped=plan["network"])


def _give_up_rights(common: Common, *, scoped: bool) -> None:
    """No capability is left, nor a way to one; then the filter, which is what Nix forbids."""
    _call("prctl", library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _call("prctl", library.prctl(_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0))
    for capability in range(common.capabilities):
        _call("prctl", library.prctl(_DROP_FROM_BOUNDS, capability, 0, 0, 0))
    header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    _call("capset", library.capset(header, nothing))
    # Giving up rights may undo this.
    _call("prctl", library.prctl(_PARENT_DIED, KILLED, 0, 0, 0))
    if scoped:
        _leave_abstract_sockets()
    if common.filter is not None:
        _call("seccomp", library.prctl(_SECCOMP, _FILTER, common.filter, 0, 0))


def _leave_abstract_sockets() -> None:
    """See `deployer.sandbox.network_scope`: kernels before 6.12 can't, and then nothing is done."""
    attributes = struct.pack("=QQQ", 0, 0, _ABSTRACT_SOCKETS_AND_SIGNALS)
    ruleset = library.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset >= 0:
        _call("landlock", library.syscall(_LANDLOCK_RESTRICT, ruleset, 0))


def _run(plan: Plan, output: int) -> NoReturn:
    builder, arguments = plan["builder"], plan["arguments"]
    os.chdir(plan["directory"])
    os.dup2(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), 0)
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


def _call(what: str, result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def name_host() -> None:
    """This machine's own name is no build's business. Raises `OSError`."""
    _call("sethostname", library.sethostname(b"localhost", 9))


def say(output: int, text: str) -> None:
    """Tell people, in what a build prints."""
    os.write(output, f"deployer: {text}\n".encode(errors="replace"))
