"""The door to one systemd, through systemctl: what it is asked, and what it says of units.

As root, systemctl talks to PID 1 over its private socket: this works early at boot, and without D-Bus.
"""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import Collection, Dict, Final, List, Mapping, Sequence, Tuple

from deployer.host.process import Completed, run
from deployer.host.unit_names import is_template, template_of
from deployer.host.unit_state import PROPERTIES, UnitState, state_of

QUICK: Final = 30.0
"""Seconds for what systemd answers at once."""
QUICK_FOR_USERS: Final = 5.0
"""The same for a user's systemd, which that user can make hang."""
_CHUNK: Final = 200
"""Units a call."""
_SHIPPED: Final = ("usr/lib/systemd/system", "lib/systemd/system", "usr/local/lib/systemd/system")
_SHIPPED_FOR_USERS: Final = ("usr/lib/systemd/user", "lib/systemd/user", "usr/local/lib/systemd/user")


class Systemctl:
    """Of PID 1, or of one user's systemd."""

    def __init__(self, command: Sequence[str], shipped: Sequence[Path], quick: float) -> None:
        """What starts it, where the distribution's unit files are, and the seconds for what is answered at once."""
        self._command, self._shipped, self._quick = tuple(command), tuple(shipped), quick

    def run(self, arguments: Sequence[str], *, timeout: float = 0.0, check: bool = True) -> Completed:
        """Ask for something, with the time for what is answered at once unless another is given."""
        return run([*self._command, "--no-pager", "--no-ask-password", *arguments], timeout=timeout or self._quick, check=check)

    def states(self, names: Collection[str]) -> Mapping[str, UnitState]:
        """Of each, and of the running instances of each that is a template."""
        templates = sorted(name for name in set(names) if is_template(name))
        wanted = [name for name in dict.fromkeys(names) if not is_template(name)]
        if templates:
            wanted += [name for name in self.active_units([_any_instance(name) for name in templates]) if name not in wanted]
        found = {name: UnitState(load="template", shipped=self._is_shipped(name)) for name in templates}
        for at in range(0, len(wanted), _CHUNK):
            found.update(self._show(wanted[at : at + _CHUNK]))
        return found

    def active_units(self, patterns: Sequence[str]) -> List[str]:
        """The names of all units that run and match."""
        options = ["--no-legend", "--plain", "--full", "--state=active,activating,reloading,deactivating"]
        lines = self.run(["list-units", *options, "--", *patterns]).text.splitlines()
        return sorted(words[0] for words in (line.split() for line in lines) if words)

    def forget_failures(self, names: Sequence[str]) -> None:
        """Clear failed states and counted restarts."""
        if names:
            self.run(["reset-failed", "--", *names], check=False)

    def _show(self, names: Sequence[str]) -> Dict[str, UnitState]:
        options = [f"--property={','.join(PROPERTIES.split())}", "--"]
        blocks = self.run(["show", *options, *names]).text.strip("\n").split("\n\n")
        if len(blocks) != len(names):
            if len(names) == 1:
                return {names[0]: UnitState()}
            return {name: state for one in names for name, state in self._show([one]).items()}
        return {name: state_of(block, shipped=self._is_shipped(name)) for name, block in zip(names, blocks)}

    def _is_shipped(self, name: str) -> bool:
        if "/" in name:
            return False
        files = [name, template_of(name) or name]
        return any((place / file).is_file() for place in self._shipped for file in files)


def systemctl_of_host(root: Path) -> Systemctl:
    """Of PID 1. The distribution's unit files are looked for below `root`."""
    return Systemctl(("systemctl",), [root / place for place in _SHIPPED], QUICK)


def systemctl_of_user(account: pwd.struct_passwd, root: Path) -> Systemctl:
    """Of one user's systemd. It is asked as that user, since its socket is where the user may put another in its place."""
    return Systemctl(_as_user(account), [root / place for place in _SHIPPED_FOR_USERS], QUICK_FOR_USERS)


def _as_user(account: pwd.struct_passwd) -> Tuple[str, ...]:
    become = ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups", "--")
    place = f"/run/user/{account.pw_uid}"
    speak = ("env", f"XDG_RUNTIME_DIR={place}", f"DBUS_SESSION_BUS_ADDRESS=unix:path={place}/bus", f"HOME={account.pw_dir}")
    return (*become, *speak, "systemctl", "--user")


def _any_instance(template: str) -> str:
    return template.replace("@.", "@*.", 1)
