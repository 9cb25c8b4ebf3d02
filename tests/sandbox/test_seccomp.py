"""The system-call filter, asked of the kernel itself, call by call."""

import json
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are of x86_64")

# In a process of its own, because a filter can't be taken off again.
ASK = """
import ctypes, json, os, sys
from deployer.sandbox.seccomp import sandbox_filter
library = ctypes.CDLL(None, use_errno=True)
library.syscall.restype = ctypes.c_long
program = sandbox_filter()
buffer = ctypes.create_string_buffer(program)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
asked = json.loads(sys.argv[1])
os.chdir(sys.argv[2])
open("file", "w").close()
assert library.prctl(38, 1, 0, 0, 0) == 0
assert library.prctl(22, 2, ctypes.byref(Program(len(program) // 8, ctypes.addressof(buffer)))) == 0
answers = []
for number, *arguments in asked:
    given = [item.encode() if isinstance(item, str) else ctypes.c_long(item) for item in arguments]
    ctypes.set_errno(0)
    result = library.syscall(ctypes.c_long(number), *given)
    answers.append(ctypes.get_errno() if result < 0 else 0)
print(json.dumps(answers))
"""
AT_CWD = -100
CREATE, TEMPORARY, WRITE = 0o100, 0o20200000, 1
EPERM, ENOTSUP, ENOSYS = 1, 95, 38
CALLS = {
    "chmod setuid": ([90, "file", 0o4755], EPERM),
    "chmod setgid": ([90, "file", 0o2755], EPERM),
    "chmod plain": ([90, "file", 0o755], 0),
    "fchmodat setuid": ([268, AT_CWD, "file", 0o4755], EPERM),
    "fchmodat plain": ([268, AT_CWD, "file", 0o755], 0),
    "fchmodat2 setuid": ([452, AT_CWD, "file", 0o4755, 0], EPERM),
    "fchmodat2 plain": ([452, AT_CWD, "file", 0o755, 0], 0),
    "creat setuid": ([85, "new1", 0o4755], EPERM),
    "creat plain": ([85, "new2", 0o755], 0),
    "open setuid": ([2, "new3", CREATE | WRITE, 0o4755], EPERM),
    "open plain": ([2, "new4", CREATE | WRITE, 0o755], 0),
    "open of what is there, whatever the third argument": ([2, "file", 0, 0o4755], 0),
    "openat setuid": ([257, AT_CWD, "new5", CREATE | WRITE, 0o2755], EPERM),
    "openat without a name, setuid": ([257, AT_CWD, ".", TEMPORARY | WRITE, 0o4755], EPERM),
    "openat plain": ([257, AT_CWD, "new6", CREATE | WRITE, 0o644], 0),
    "openat of a directory, whatever the fourth argument": ([257, AT_CWD, ".", 0o200000, 0o4755], 0),
    "mknod setuid": ([133, "new7", 0o104755, 0], EPERM),
    "mknodat setuid": ([259, AT_CWD, "new8", 0o104755, 0], EPERM),
    "mknodat plain": ([259, AT_CWD, "new9", 0o100755, 0], 0),
    "io_uring_setup": ([425, 1, 0], ENOSYS),
    "x32": ([0x40000000 + 39], ENOSYS),
    **{f"attributes, call {number}": ([number, "file", "user.x", "v", 1, 0], ENOTSUP) for number in range(188, 200)},
    **{f"attributes, call {number}": ([number, AT_CWD, "file", 0, "user.x", 0, 0], ENOTSUP) for number in range(463, 467)},
}


def test_every_call_is_answered_as_it_should_be(tmp_path):
    asked = json.dumps([call for call, _ in CALLS.values()])
    done = subprocess.run([sys.executable, "-c", ASK, asked, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    answers = dict(zip(CALLS, json.loads(done.stdout), strict=True))

    assert answers == {name: expected for name, (_, expected) in CALLS.items()}
