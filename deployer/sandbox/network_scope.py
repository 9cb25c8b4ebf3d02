"""A build with the network shares this machine's abstract sockets, where services trust whoever runs as their own user. Not here.

Linux 6.12 and later can keep a process away from abstract sockets that others outside opened (Landlock). Older kernels cannot,
and there a fixed output's builder is as near to them as under Nix. The restriction is put on by a program of its own, because
what runs between fork and exec in a process with threads may hang.
"""

from __future__ import annotations

import sys
from typing import Final, Tuple

# landlock_create_ruleset (444) with `scoped` alone, prctl(PR_SET_NO_NEW_PRIVS), landlock_restrict_self (446).
_PROGRAM: Final = """
import ctypes, os, struct, sys
library = ctypes.CDLL(None, use_errno=True)
attributes = struct.pack("=QQQ", 0, 0, 3)
ruleset = library.syscall(444, attributes, ctypes.c_size_t(len(attributes)), 0)
if ruleset >= 0:
    library.prctl(38, 1, 0, 0, 0)
    library.syscall(446, ruleset, 0)
    os.close(ruleset)
for ignored in (13, 25):  # SIGPIPE and SIGXFSZ: by Python, and a program would go on ignoring them
    library.signal(ignored, None)
os.execv(sys.argv[1], sys.argv[1:])
"""


def scoped(command: Tuple[str, ...]) -> Tuple[str, ...]:
    """The command that runs `command`, whose first word is a path, away from the sockets and processes of others."""
    return (sys.executable, "-I", "-S", "-c", _PROGRAM, *command)
