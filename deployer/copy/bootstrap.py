"""The few lines that run on a host before anything of ours is there.

One exec channel runs `SCRIPT`, which needs nothing but a POSIX shell:

1. it prints the host's state line (`deployer.formats.state`), which says `lost` where the current system is not there, and
   waits. A controller that finds the host where it should be closes its side, and no more has happened than one round trip;
2. otherwise the controller sends `serve PATH SIZE`. Where the host runtime stands at PATH the script answers `ready`, else
   `send`, and the controller sends the SIZE bytes of its own, which live in memory only;
3. from there on both sides speak frames (`deployer.formats.frames`).
"""

from __future__ import annotations

import shlex
from typing import Final

from deployer.formats.state import ABSENT, LOST, SETTLED, StateLine

READY: Final = "ready"
SEND: Final = "send"
NOT_ROOT: Final = 77
"""Exit status: the login is neither root nor allowed to become it."""
NO_PYTHON: Final = 78
"""Exit status: there is no python3."""
PYTHON_UNFIT: Final = 79
"""Exit status: python3 is too old, or lacks a part of its standard library; standard error says which."""

_LOADER: Final = """\
import sys
try:
    if sys.version_info < (3, 9): raise ImportError("Python 3.9 (this is %d.%d)" % sys.version_info[:2])
    import ctypes, fcntl, hashlib, http.client, json, os, sqlite3, subprocess, zlib
except ImportError as error:
    print(getattr(error, "name", None) or error, file=sys.stderr)
    sys.exit(79)
left = int(sys.argv[1])
memory = os.memfd_create("deployer-runtime")
while left:
    piece = os.read(0, min(left, 1 << 16))
    if not piece: sys.exit(0)
    os.write(memory, piece)
    left -= len(piece)
sys.path.insert(0, "/proc/self/fd/%d" % memory)
from deployer.host.main import main
sys.exit(main(["serve"]))
"""

SCRIPT: Final = f"""\
umask 077
[ -O /proc/1 ] || exit {NOT_ROOT}
if {{ read -r line </var/lib/deployer/state; }} 2>/dev/null; then
  case $line in *" {SETTLED} "*)
    system=${{line#* {SETTLED} * }} system=${{system%% *}}
    [ "$system" = - ] || [ -e "$system" ] || line="${{line%% {SETTLED} *}} {LOST} ${{line#* {SETTLED} }}" ;;
  esac
  echo "$line"
else echo '{StateLine(ABSENT)}'; fi
read -r verb path size || exit 0
[ "$verb" = serve ] || exit 0
python=$(command -v python3 || command -v /usr/libexec/platform-python) || exit {NO_PYTHON}
if [ -f "$path/__main__.py" ]; then echo {READY}; exec "$python" -I -B "$path" serve; fi
echo {SEND}
exec "$python" -I -c {shlex.quote(_LOADER)} "$size"
"""

COMMAND: Final = f"exec /bin/sh -c {shlex.quote(SCRIPT)}"
"""What the SSH server hands to the login shell, whatever shell that is."""
