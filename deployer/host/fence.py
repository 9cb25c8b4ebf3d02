"""A control group for one program: whatever it has started, under whatever name and in whatever session, ends with it.

Where no control group can be made (no root, a read-only `/sys/fs/cgroup`) there is none, and the process group must do.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from pathlib import Path
from typing import Final, Iterator, List, Optional, Sequence

from deployer.host.control_groups import members, our_groups

_ENTER: Final = '{ echo 0 >"$0"; } 2>/dev/null; exec "$@"'
"""Run by a shell, because it must happen after the fork and before the program."""
_PATIENCE: Final = 5.0
_PAUSE: Final = 0.01
_numbers = itertools.count(1)


class Fence:
    """A control group below our own."""

    def __init__(self, directory: Path) -> None:
        """Use `fenced`."""
        self._directory = directory

    def around(self, command: Sequence[str]) -> List[str]:
        """A command that enters the group, and then is the given one."""
        return ["/bin/sh", "-c", _ENTER, str(self._directory / "cgroup.procs"), *command]

    def clear(self) -> None:
        """Kill all that is in it, as often as something new has been started meanwhile."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            inside = members(self._directory)
            if not inside:
                return
            try:
                (self._directory / "cgroup.kill").write_text("1")
            except OSError:
                for member in inside:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(member, signal.SIGKILL)
            time.sleep(_PAUSE)


@contextlib.contextmanager
def fenced() -> Iterator[Optional[Fence]]:
    """A control group, empty at first and killed and removed at the end; None where there can be none."""
    directory = _make()
    if directory is None:
        yield None
        return
    fence = Fence(directory)
    try:
        yield fence
    finally:
        fence.clear()
        for place, _, _ in os.walk(directory, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(place)


def _make() -> Optional[Path]:
    for above in our_groups():
        directory = above / f"check-{os.getpid()}-{next(_numbers)}"
        try:
            directory.mkdir()
        except OSError:
            continue
        if os.access(directory / "cgroup.procs", os.W_OK):
            return directory
        with contextlib.suppress(OSError):
            directory.rmdir()
    return None
