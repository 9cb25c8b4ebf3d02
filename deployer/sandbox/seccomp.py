"""The system-call filter of the sandbox, as the BPF program that the kernel takes.

What Nix forbids: giving a file the setuid or setgid bit (EPERM), and extended attributes, ACLs among them (ENOTSUP), because
neither can be kept in a NAR. Further than Nix: files are not made with these bits either. Calls of another architecture, of x32
and of io_uring do not exist (ENOSYS), so that they are no way around. openat2 keeps its mode where no filter can look: there,
and where we have no filter, the bits are lost when the output is given a store's metadata.
"""

from __future__ import annotations

import errno
import functools
import platform
import struct
from typing import Final, List, Optional

_LOAD_WORD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_AT_LEAST: Final = 0x35
_JUMP_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_OFFSET_NUMBER: Final = 0
_OFFSET_ARCHITECTURE: Final = 4
_OFFSET_ARGUMENTS: Final = 16
_SET_ID_BITS: Final = 0o6000
_X32_BIT: Final = 0x40000000

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_MODE_ARGUMENT: Final = {
    # Number of the call → which argument is the mode: chmod, fchmod, fchmodat, fchmodat2; creat, mknod, mknodat.
    "x86_64": {90: 1, 91: 1, 268: 2, 452: 2, 85: 1, 133: 1, 259: 2},
    "aarch64": {52: 1, 53: 2, 452: 2, 33: 2},
}
_OPEN_CALLS: Final = {
    # Number of the call → which argument has the flags; the mode follows, and means something only where a file is made.
    "x86_64": {2: 1, 257: 2},
    "aarch64": {56: 2},
}
_NEW_FILE: Final = 0o100 | 0o20000000
"""O_CREAT, and what O_TMPFILE has and O_DIRECTORY has not."""
_XATTR_CALLS: Final = {
    # set, get and list, each with the l and f variants; remove; then setxattrat, getxattrat, listxattrat, removexattrat.
    "x86_64": (*range(188, 200), *range(463, 467)),
    "aarch64": (*range(5, 17), *range(463, 467)),
}
_IO_URING_CALLS: Final = (425, 426, 427)
"""Setup, enter, register: on both."""


@functools.cache
def sandbox_filter(machine: Optional[str] = None) -> Optional[bytes]:
    """The program for this machine, or None where we have none for its architecture."""
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        return None
    program = [
        _instruction(_LOAD_WORD, 0, 0, _OFFSET_ARCHITECTURE),
        _instruction(_JUMP_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        _refuse(errno.ENOSYS),
        _instruction(_LOAD_WORD, 0, 0, _OFFSET_NUMBER),
    ]
    if machine == "x86_64":
        program += [_instruction(_JUMP_AT_LEAST, 0, 1, _X32_BIT), _refuse(errno.ENOSYS)]
    for number in _XATTR_CALLS[machine]:
        program += [_instruction(_JUMP_EQUAL, 0, 1, number), _refuse(errno.ENOTSUP)]
    for number in _IO_URING_CALLS:
        program += [_instruction(_JUMP_EQUAL, 0, 1, number), _refuse(errno.ENOSYS)]
    for number, argument in _MODE_ARGUMENT[machine].items():
        program += [_instruction(_JUMP_EQUAL, 0, 4, number), *_refuse_bits(argument)]
    for number, argument in _OPEN_CALLS[machine].items():
        program += [
            _instruction(_JUMP_EQUAL, 0, 7, number),
            _argument(argument),
            _instruction(_JUMP_ANY_BIT, 1, 0, _NEW_FILE),
            _instruction(_RETURN, 0, 0, _ALLOW),
            *_refuse_bits(argument + 1),
        ]
    program.append(_instruction(_RETURN, 0, 0, _ALLOW))
    return b"".join(program)


def _instruction(code: int, jump_true: int, jump_false: int, operand: int) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, operand)


def _argument(number: int) -> bytes:
    """Load the low half of an argument."""
    return _instruction(_LOAD_WORD, 0, 0, _OFFSET_ARGUMENTS + 8 * number)


def _refuse_bits(argument: int) -> List[bytes]:
    """Four instructions that end the program by what an argument says."""
    return [
        _argument(argument),
        _instruction(_JUMP_ANY_BIT, 0, 1, _SET_ID_BITS),
        _refuse(errno.EPERM),
        _instruction(_RETURN, 0, 0, _ALLOW),
    ]


def _refuse(error: int) -> bytes:
    return _instruction(_RETURN, 0, 0, _ERRNO | error)
