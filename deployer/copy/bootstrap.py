"""The few lines that run on a host before anything of ours is there.

One exec channel runs `SCRIPT`, which needs nothing but a POSIX shell and the programs that every Debian and RHEL has:

1. it prints the host's state line (`deployer.formats.state`), which says `lost` where the current system is not there, and
   waits. A controller that finds the host where it should be closes its side, and no more has happened than one round trip;
2. otherwise the controller sends `serve PATH SIZE`. The Python that runs it is the one that was brought to the host, else the
   host's own. Where there is none, or one that lacks what the runtime needs, the script answers `python MACHINE WHAT-IT-LACKS`,
   and the controller sends `kit SIZE` and a tree of files (`deployer.copy.interpreter`). That is unpacked aside, checked by
   sha256sum, and removed at the end; an activation takes it into the store first;
3. where the host runtime stands at PATH the script answers `ready`, else `send`, and the controller sends the SIZE bytes of its
   own, which live in memory only;
4. from there on both sides speak frames (`deployer.formats.frames`).

`BUILDER_SCRIPT` is the same for a machine that builds: it has no state line, brings no Python, and runs as whoever logs in, with
a store of its own in that user's home. So it touches neither what a host has below `/nix`, nor what a Nix has there.

What is written here is also what `deployer host-access` prints, and old prints stay in use: a newer controller must say
what an older script understands.
"""

from __future__ import annotations

import shlex
from typing import Final

from deployer.formats.state import ABSENT, LOST, SETTLED, StateLine

READY: Final = "ready"
SEND: Final = "send"
PYTHON: Final = "python"
NOTHING: Final = "python3"
"""What a host lacks that has no Python at all."""
NOT_ROOT: Final = 77
"""Exit status: the login is neither root nor allowed to become it."""
KIT_REFUSED: Final = 80
"""Exit status: the Python that was sent could not be unpacked; standard error says why."""
INTERPRETER_ROOT: Final = "/nix/var/deployer/gcroots/interpreter"
"""On a host: the link that holds the Python that was brought."""

BUILDER_STORE: Final = "deployer/builder"
"""Where builders keep their store, below `~/.local/share`."""

_FIT: Final = """\
import sys
try:
    if sys.version_info < (3, 9): raise ImportError("Python-3.9")
    import ctypes, fcntl, hashlib, http.client, json, os, sqlite3, subprocess, zlib
except ImportError as error:
    print(getattr(error, "name", None) or error)
    sys.exit(79)
"""
_LOADER: Final = """\
import os, sys
left = int(sys.argv[1])
memory = os.memfd_create("deployer-runtime")
while left:
    piece = os.read(0, min(left, 1 << 16))
    if not piece: sys.exit(0)
    os.write(memory, piece)
    left -= len(piece)
sys.path.insert(0, "/proc/self/fd/%d" % memory)
from deployer.host.main import main
sys.exit(main(sys.argv[2:]))
"""

SCRIPT: Final = f"""\
umask 077
PATH=${{PATH:-/usr/bin}}:/usr/sbin:/usr/bin:/sbin:/bin
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
kit= lacks={NOTHING}
if python=$(readlink {INTERPRETER_ROOT}) && [ -x "$python/bin/python3" ]; then lacks= python=$python/bin/python3
elif python=$(command -v python3 || command -v /usr/libexec/platform-python); then
  if [ -f "$path/__main__.py" ]; then lacks=
  else lacks=$("$python" -I -c {shlex.quote(_FIT)} 2>/dev/null) && lacks=; fi
fi
if [ -n "$lacks" ]; then
  echo "{PYTHON} $(uname -m) $lacks"
  read -r verb packed || exit 0
  [ "$verb" = kit ] || exit 0
  kit=$(mktemp -d /var/lib/deployer-python.XXXXXXXX) || exit {KIT_REFUSED}
  trap 'rm -rf "$kit"' EXIT
  trap 'exit 129' HUP INT TERM
  find /var/lib -maxdepth 1 -name 'deployer-python.*' -mmin +1440 -exec rm -rf {{}} +
  (
    cd "$kit" || exit
    head -c "$packed" | gzip -dc | while read -r kind size name; do
      case $name in *[!A-Za-z0-9._/+-]*|/*|*..*) exit 1 ;; esac
      case $kind in
        d) mkdir "./$name" ;;
        f|x) head -c "$size" >"./$name" && {{ [ "$kind" = f ] || chmod 700 "./$name"; }} ;;
        *) exit 1 ;;
      esac || exit
    done
    sha256sum -c sums >/dev/null && rm sums
  ) || exit {KIT_REFUSED}
  python=$kit/bin/python3
fi
if [ -f "$path/__main__.py" ]; then echo {READY}; set -- -I -B "$path" serve
else echo {SEND}; set -- -I -c {shlex.quote(_LOADER)} "$size" serve; fi
[ -n "$kit" ] || exec "$python" "$@"
"$python" "$@"
"""

BUILDER_SCRIPT: Final = f"""\
umask 077
PATH=${{PATH:-/usr/bin}}:/usr/sbin:/usr/bin:/sbin:/bin
root=${{XDG_DATA_HOME:-$HOME/.local/share}}/{BUILDER_STORE}
read -r verb path size || exit 0
[ "$verb" = serve ] || exit 0
lacks={NOTHING}
if python=$(command -v python3 || command -v /usr/libexec/platform-python); then
  lacks=$("$python" -I -c {shlex.quote(_FIT)} 2>/dev/null) && lacks=
fi
if [ -n "$lacks" ]; then echo "{PYTHON} $(uname -m) $lacks"; exit 0; fi
if [ -f "$root$path/__main__.py" ]; then echo {READY}; exec "$python" -I -B "$root$path" build "$root"; fi
echo {SEND}
exec "$python" -I -c {shlex.quote(_LOADER)} "$size" build "$root"
"""

COMMAND: Final = f"exec /bin/sh -c {shlex.quote(SCRIPT)}"
"""What the SSH server hands to the login shell, whatever shell that is."""
BUILDER_COMMAND: Final = f"exec /bin/sh -c {shlex.quote(BUILDER_SCRIPT)}"
