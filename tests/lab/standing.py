"""How a host stands: everything that must be as it was once we have failed, or have left."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Final

from deployer.lab import Lab, LabHost

NOISE: Final = ("session-", "user@", "user-", "user.slice", "run-", "init.scope")
"""Units that come and go with every login, ours among them."""
_MARK: Final = "=== the next part"
_PARTS: Final = (
    # The modification times of directories are left out: making and removing an entry changes them, and nobody can undo that.
    "cd /etc && find . -type d -printf '%p %y %m %U %G\\n' -o -printf '%p %y %m %U %G %T@ %l\\n' | LC_ALL=C sort",
    "cd /etc && find . -type f -exec sha256sum {} + | LC_ALL=C sort -k2",
    "getent passwd; getent group; getent shadow; getent gshadow",
    "systemctl list-unit-files --no-legend --no-pager --full",
    "systemctl list-units --all --plain --no-legend --no-pager --full",
    "ls -A / /var/lib",
    "ls -A /run | grep -v utmp",
    "systemctl is-system-running",
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What was seen of a host at one moment. Equal where nothing has changed."""

    etc: tuple[str, ...]
    """All of /etc: type, mode, owner of everything; modification time and link target of all but directories."""
    contents: tuple[str, ...]
    """Hash of every file in /etc."""
    accounts: tuple[str, ...]
    unit_files: tuple[str, ...]
    units: tuple[str, ...]
    """Name, load state, active state and sub-state."""
    roots: tuple[str, ...]
    """What is in / and in /var/lib."""
    runtime: tuple[str, ...]
    """What is in /run."""
    health: tuple[str, ...]
    """What systemd says of all of it."""

    def without_times_of_accounts(self) -> tuple[tuple[str, ...], ...]:
        """All but when the account files were written, for hosts whose accounts were changed and changed back."""
        files = ("./passwd ", "./shadow ", "./group ", "./gshadow ")
        etc = tuple(" ".join(line.split()[:5]) if line.startswith(files) else line for line in self.etc)
        return (etc, self.contents, self.accounts, self.unit_files, self.units, self.roots, self.runtime, self.health)


def shell(lab: Lab, host: LabHost, command: str) -> str:
    """What a command on a host prints, errors too. Goes by OpenSSH: nothing of ours is in between."""
    done = subprocess.run(
        ["ssh", "-F", str(lab.ssh_config), host.name, command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
    )
    return done.stdout.strip()


def standing(lab: Lab, host: LabHost) -> Standing:
    """Look."""
    script = f"; echo '{_MARK}'; ".join(f"({part})" for part in _PARTS)
    parts = [tuple(part.strip().splitlines()) for part in shell(lab, host, script).split(_MARK)]
    units = tuple(" ".join(line.split()[:4]) for line in parts[4] if not line.startswith(NOISE))
    return Standing(parts[0], parts[1], parts[2], parts[3], units, *parts[5:])
