"""The real answers to `machine.SystemdPort`: PID 1, and the systemd of each user. systemd 247 and up.

All but the journal works early at boot, and without D-Bus. Nothing waits without a bound.
"""

from __future__ import annotations

import contextlib
import pwd
import time
from pathlib import Path
from typing import Collection, Dict, Final, Iterable, List, Mapping, Optional, Sequence, Tuple

from deployer.errors import DeploymentError
from deployer.formats.limits import RELOADING, RELOADING_FOR_USERS
from deployer.host import journalctl
from deployer.host.jobs import Jobs
from deployer.host.machine import SystemdPort
from deployer.host.process import ProgramTimedOut, run
from deployer.host.systemctl import QUICK, Systemctl, systemctl_of_host, systemctl_of_user
from deployer.host.unit_state import UnitState

RELOAD: Final = RELOADING
"""Seconds for reading all unit files again: generators run then. systemd ends those that hang after 90, and answers nobody until
then; who waits for less learns that one hangs."""
PATIENT_RELOAD: Final = 240.0
"""The same for who must have it done: behind a reload that hangs, another that does, and some time for all else."""
RELOAD_FOR_USERS: Final = RELOADING_FOR_USERS
"""The same for a user's systemd, which that user can make hang."""
_POLL: Final = 0.05
_OVER: Final = ("inactive", "failed")
_AT_ANY_TIME: Final = ("DefaultDependencies=no", "Conflicts=shutdown.target", "Before=shutdown.target")
"""Of units that must start in the middle of a boot too."""


class ReloadHangs(DeploymentError):
    """systemd does not come to an end with reading its unit files."""

    seconds: float

    @property
    def message(self) -> str:
        """For how long it was waited for, and what is known to make it hang."""
        return (
            f"systemd did not read its unit files again within {self.seconds:g} s (daemon-reload);"
            " a generator may hang, in /etc/systemd/system-generators or /usr/lib/systemd/system-generators"
        )

    @property
    def remedy(self) -> str:
        """How to find it."""
        return "On the host, run `systemctl daemon-reload`, and look meanwhile with `ps -ef --forest` at what PID 1 has started."


class Systemd(SystemdPort):
    """This host's PID 1."""

    def __init__(self, root: Path = Path("/"), systemctl: Optional[Systemctl] = None) -> None:
        """`root` is where the distribution's unit files are looked for; `systemctl` is that of another systemd than PID 1."""
        self._root = root
        self._systemctl = systemctl or systemctl_of_host(root)
        self._jobs = Jobs(self._systemctl, is_host=systemctl is None)

    # -- asking ----------------------------------------------------------------------------------------------------------

    def states(self, names: Collection[str]) -> Mapping[str, UnitState]:
        """Of each, and of the running instances of each that is a template."""
        return self._systemctl.states(names)

    def user_managers(self) -> Mapping[str, SystemdPort]:
        """By account, the systemd of each user for whom one runs."""
        found: Dict[str, SystemdPort] = {}
        for unit in self._systemctl.active_units(["user@*.service"]):
            number = unit.partition("@")[2].partition(".")[0]
            with contextlib.suppress(KeyError, ValueError, OverflowError):
                account = pwd.getpwuid(int(number))
                found[account.pw_name] = UserSystemd(account, self._root)
        return found

    def log_tail(self, name: str, lines: int) -> Sequence[str]:
        """The last lines of a unit's last run."""
        return journalctl.log_of_last_run(name, lines)

    def journal_cursor(self) -> str:
        """Where the journal ends now; empty where it cannot be read."""
        return journalctl.cursor()

    def journal_lines(self, *, after: str, unit: str = "", timeout: float) -> Tuple[Sequence[str], str]:
        """The messages after a cursor (empty: of this boot), and the cursor of the last. Raises `JournalUnreadable`."""
        return journalctl.messages_after(after, unit=unit, timeout=timeout)

    # -- changing --------------------------------------------------------------------------------------------------------

    def daemon_reload(self, *, patient: bool = False) -> None:
        """Read all unit files again. It succeeds also where a unit file says nothing: look at `states` afterwards.

        Raises `ReloadHangs` and `ProgramFailed`.
        """
        self._reload(PATIENT_RELOAD if patient else RELOAD)

    def change(self, verb: str, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """`stop`, `start`, `restart` or `reload` units, together; what failed, with the reason."""
        return self._jobs.change(verb, names, timeout)

    def stop_briefly(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Stop units that `start_again` follows for: nothing is asked that can wait. What failed, with the reason."""
        return self._jobs.stop_briefly(names, timeout)

    def start_again(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Start what was just stopped, and anew what somebody started since; what failed, with the reason."""
        return self._jobs.start_again(names, timeout)

    def renew(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Stop all of them, and then start all of them, with nothing between; what failed, with the reason."""
        return self._jobs.renew(names, timeout)

    def queue(self, verb: str, names: Sequence[str]) -> None:
        """The same without waiting, for the boot."""
        if names:
            self._systemctl.run(["--no-block", verb, "--", *names], check=False)

    def forget_failures(self, names: Sequence[str]) -> None:
        """Clear failed states and counted restarts."""
        self._systemctl.forget_failures(names)

    def request_reboot(self) -> None:
        """Begin to restart the host, and do not wait."""
        self._systemctl.run(["--no-block", "reboot"])

    def kill(self, name: str) -> None:
        """Kill all processes of a service, and those that it starts to end itself, until it is gone."""
        deadline = time.monotonic() + QUICK
        while time.monotonic() < deadline:
            self._systemctl.run(["kill", "--signal=KILL", "--", name], check=False)
            time.sleep(_POLL)
            if self.states([name])[name].active in _OVER:
                return

    def discard(self, *names: str) -> None:
        """Stop transient units, where there are any."""
        if names:
            self._systemctl.run(["stop", "--", *names], check=False)

    # -- transient units -------------------------------------------------------------------------------------------------

    def start_service(self, name: str, command: Sequence[str], properties: Mapping[str, str], *, wait: bool = True) -> None:
        """Start a transient service, or ask for its start and do not `wait`; fails where one of that name runs."""
        if "CollectMode" not in properties:
            self.forget_failures([name])
        settings = [f"--property={key}={value}" for key, value in properties.items() if key != "Description"]
        description = f"--description={properties.get('Description', name)}"
        block = [] if wait else ["--no-block"]
        run(["systemd-run", "--quiet", *block, f"--unit={name}", description, *settings, "--", *literal(command)], timeout=QUICK)

    def start_timer(self, name: str, command: Sequence[str], seconds: float, again: float) -> None:
        """Start a transient timer that runs `command` after `seconds`, and again `again` seconds after that ended."""
        self.forget_failures([f"{name}.service"])
        times = [f"--on-active={seconds:.0f}s", f"--on-unit-inactive={again:.0f}s", "--timer-property=AccuracySec=1s"]
        early = [f"--{kind}={setting}" for kind in ("property", "timer-property") for setting in _AT_ANY_TIME]
        run(["systemd-run", "--quiet", f"--unit={name}", *times, *early, "--", *literal(command)], timeout=QUICK)

    def _reload(self, timeout: float) -> None:
        self._jobs.hang_up()
        try:
            self._systemctl.run(["daemon-reload"], timeout=timeout)
        except ProgramTimedOut:
            raise ReloadHangs(timeout) from None


class UserSystemd(Systemd):
    """The systemd of one user."""

    def __init__(self, account: pwd.struct_passwd, root: Path = Path("/")) -> None:
        """Of an account for which one runs."""
        super().__init__(root, systemctl_of_user(account, root))
        self._uid = account.pw_uid

    def daemon_reload(self, *, patient: bool = False) -> None:
        """Read all unit files again. Raises `ReloadHangs` and `ProgramFailed`; no user is waited for longer than others."""
        self._reload(RELOAD_FOR_USERS)

    def log_tail(self, name: str, lines: int) -> Sequence[str]:
        """The last lines of a unit's journal."""
        return journalctl.log_of_user_unit(name, self._uid, lines)


def literal(command: Iterable[str]) -> List[str]:
    """Arguments that systemd hands on letter for letter: it would put variables in otherwise."""
    return [argument.replace("$", "$$") for argument in command]
