"""What processes on hosts have mapped from anywhere but the trees of packages that they are to live on."""

from __future__ import annotations

import re
import shlex
from typing import Final

from deployer.lab import Lab, LabHost
from tests.lab.standing import shell

# By device and inode: what has a root of its own sees its files under the names that a host's have.
_MAPPED_OUTSIDE: Final = """
for process in {processes}; do
    for one in /proc/$process/map_files/*; do stat -Lc "%d:%i $(readlink "$one")" "$one"; done
done |
    grep -vFf <(find -H {trees} -type f -printf '%D:%i \\n')
"""
_SHARED_MEMORY: Final = re.compile(r" (?:/dev/zero \(deleted\)|/SYSV\w+ \(deleted\)|/dev/shm/\S+)")


def mapped_outside(lab: Lab, host: LabHost, *trees: str, service: str = "", child: str = "") -> list[str]:
    """Device, inode and name of what the main process of a service, or the host's, has mapped and none of `trees` has.

    `child`: of those processes in its place that it has started with this in their command line.
    """
    main = f"$(systemctl show -p MainPID --value {service})" if service else "1"
    processes = f"$(pgrep -P {main} -f {child} || echo none)" if child else main
    command = _MAPPED_OUTSIDE.format(processes=processes, trees=" ".join(trees))
    lines = shell(lab, host, f"bash -c {shlex.quote(command)}").splitlines()
    return [line for line in lines if not _SHARED_MEMORY.search(line)]
