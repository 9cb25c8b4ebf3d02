"""The one door to systemd: PID 1 through systemctl and systemd-run, the journal through journalctl. systemd 247 and up.

As root, systemctl talks to PID 1 over its private socket: all but the journal works early at boot, and without D-Bus. Nothing
waits without a bound, and a job that outlives its bound is cancelled.
"""

from __future__ import annotations

import contextlib
import json
import pwd
import re
import time
from pathlib import Path
from typing import Collection, Dict, Final, Iterable, List, Mapping, Optional, Sequence, Tuple

from deployer.errors import DeployerError, DeploymentError
from deployer.formats.limits import RELOADING, RELOADING_FOR_USERS
from deployer.host.machine import SystemdPort
from deployer.host.manager_line import DONE, LineUnusable, ManagerLine
from deployer.host.process import Completed, ProgramTimedOut, one_line, run
from deployer.host.unit_names import is_template, template_of
from deployer.host.unit_state import UnitState

QUICK: Final = 30.0
"""Seconds for what systemd answers at once."""
RELOAD: Final = RELOADING
"""Seconds for reading all unit files again: generators run then. systemd ends those that hang after 90, and answers nobody until
then; who waits for less learns that one hangs."""
PATIENT_RELOAD: Final = 240.0
"""The same for who must have it done: behind a reload that hangs, another that does, and some time for all else."""
QUICK_FOR_USERS: Final = 5.0
RELOAD_FOR_USERS: Final = RELOADING_FOR_USERS
"""The same for a user's systemd, which that user can make hang."""
SETTLE: Final = 0.1
"""Seconds after which a service that was started is looked at: one whose program is missing has failed by then."""
MAX_LOG_LINE: Final = 500
MAX_SEARCHED_LINE: Final = 4000
_POLL: Final = 0.05
_CHUNK: Final = 200
"""Units a call."""
_SHIPPED: Final = ("usr/lib/systemd/system", "lib/systemd/system", "usr/local/lib/systemd/system")
_SHIPPED_FOR_USERS: Final = ("usr/lib/systemd/user", "lib/systemd/user", "usr/local/lib/systemd/user")
_OVER: Final = ("inactive", "failed")
_AT_ANY_TIME: Final = ("DefaultDependencies=no", "Conflicts=shutdown.target", "Before=shutdown.target")
"""Of units that must start in the middle of a boot too."""
_JOB_ENDED: Final = {
    "dependency": "a unit that it needs failed",
    "failed": "its start failed",
    "timeout": "its start took longer than systemd allows it",
}
"""What systemd says of a job that did not end well, in words."""
_FAILED_TO: Final = re.compile(r"Failed to [a-z-]+ (\S+): (.+)")
_JOB_FOR: Final = re.compile(r"(?:Job|A dependency job) for (\S+) (.+?)(?:\.?$|\. See )")
_PROPERTIES: Final = (
    "Id LoadState ActiveState SubState Result NRestarts MainPID ExecMainStatus Type RemainAfterExit ConditionResult "
    "ConditionTimestampMonotonic ActiveEnterTimestampMonotonic FragmentPath DropInPaths UnitFileState NeedDaemonReload Job "
    "MemoryCurrent ControlGroup InvocationID RequiredBy RequisiteOf BoundBy ConsistsOf PropagatesStopTo"
)
_BONDS: Final = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "PropagatesStopTo")


class JournalUnreadable(DeploymentError):
    """The host keeps no journal, or it can't be read."""

    @property
    def message(self) -> str:
        """That."""
        return "the journal can't be read, or there is none"


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

    def __init__(self, root: Path = Path("/")) -> None:
        """`root` is where the distribution's unit files are looked for."""
        self._root = root
        self._command: Tuple[str, ...] = ("systemctl",)
        self._places = _SHIPPED
        self._quick = QUICK
        self._line: Optional[ManagerLine] = None

    # -- asking ----------------------------------------------------------------------------------------------------------

    def version(self) -> int:
        """`252`; 0 where it does not say."""
        found = re.search(r"systemd (\d+)", self._systemctl(["--version"], check=False).text)
        return int(found.group(1)) if found else 0

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

    def active_units(self, patterns: Sequence[str] = ()) -> List[str]:
        """The names of all units that run, or of those that match."""
        options = ["--no-legend", "--plain", "--full", "--state=active,activating,reloading,deactivating"]
        lines = self._systemctl(["list-units", *options, "--", *patterns]).text.splitlines()
        return sorted(words[0] for words in (line.split() for line in lines) if words)

    def user_managers(self) -> Mapping[str, SystemdPort]:
        """By account, the systemd of each user for whom one runs."""
        found: Dict[str, SystemdPort] = {}
        for unit in self.active_units(["user@*.service"]):
            number = unit.partition("@")[2].partition(".")[0]
            with contextlib.suppress(KeyError, ValueError, OverflowError):
                account = pwd.getpwuid(int(number))
                found[account.pw_name] = UserSystemd(account, self._root)
        return found

    def log_tail(self, name: str, lines: int) -> Sequence[str]:
        """The last lines of a unit's last run."""
        fields = "--output-fields=MESSAGE,INVOCATION_ID,_SYSTEMD_INVOCATION_ID"
        output = _journalctl(["--boot", f"--lines={lines}", "--output=json", fields, f"--unit={name}"])
        entries: List[Mapping[str, object]] = []
        for line in output.splitlines():
            with contextlib.suppress(ValueError):
                entries.append(json.loads(line))
        return last_run(entries)

    def journal_cursor(self) -> str:
        """Where the journal ends now; empty where it cannot be read."""
        found = re.search(r'"__CURSOR"\s*:\s*"([^"]+)"', _journalctl(["--lines=1", "--output=json"]))
        return found.group(1) if found else ""

    def journal_tail(self, names: Sequence[str], lines: int, *, after: str = "") -> Sequence[str]:
        """The last lines of some units' journal, of this boot, or after a cursor."""
        since = f"--after-cursor={after}" if after else "--boot"
        return _journal([f"--lines={lines}", since, *(f"--unit={name}" for name in names)])

    def journal_lines(self, *, after: str, unit: str = "", timeout: float) -> Tuple[Sequence[str], str]:
        """The messages after a cursor (empty: of this boot), perhaps of one unit, and the cursor of the last.

        Where they are very many, the first ones: the next call gives more. Raises where the journal can't be read.
        """
        deadline = time.monotonic() + timeout
        with contextlib.suppress(DeployerError):
            _run(["journalctl", "--sync"], timeout=timeout / 2, check=False)
        since = f"--after-cursor={after}" if after else "--boot"
        arguments = ["--no-pager", "--quiet", "--output=json", "--output-fields=MESSAGE", since]
        chosen = [f"--unit={unit}"] if unit else []
        output = _run(["journalctl", *arguments, *chosen], timeout=max(deadline - time.monotonic(), 0.1)).text
        messages: List[str] = []
        last = after
        for line in output.splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                last = str(entry.get("__CURSOR", last))
                messages.append(_message(entry, MAX_SEARCHED_LINE))
        if not messages and not self.journal_cursor():
            raise JournalUnreadable
        return messages, last

    # -- changing --------------------------------------------------------------------------------------------------------

    def daemon_reload(self, *, patient: bool = False) -> None:
        """Read all unit files again. It succeeds also where a unit file says nothing: look at `states` afterwards.

        Raises `ReloadHangs` and `ProgramFailed`.
        """
        self._reload(PATIENT_RELOAD if patient else RELOAD)

    def start(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Start units together; what failed, with the reason."""
        return self.change("start", names, timeout)

    def stop(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Stop units together; what failed, with the reason."""
        return self.change("stop", names, timeout)

    def restart(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Restart units together; what failed, with the reason."""
        return self.change("restart", names, timeout)

    def reload(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Have units reload together; what failed, with the reason."""
        return self.change("reload", names, timeout)

    def change(self, verb: str, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """`stop`, `start`, `restart` or `reload` units, together; what failed, with the reason.

        systemctl follows the jobs: only it learns that a reload or a dependency failed. What is under way when the time is
        over is cancelled.
        """
        if not names:
            return {}
        if verb in ("start", "restart"):
            self.forget_failures(names)
        elif verb == "stop":
            return self._stop(names, timeout)
        return self._have(verb, names, timeout)

    def stop_briefly(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Stop units that `start_again` follows for: nothing is asked that can wait. What failed, with the reason."""
        self.forget_failures(names)
        return self._stop(names, timeout, briefly=True)

    def start_again(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Start what was just stopped, and anew what somebody started since; what failed, with the reason."""
        began = time.monotonic()
        ended = self._directly("StartUnit", names, timeout)
        if ended is None:
            failures = self._have("start", names, timeout)
        else:
            late = self._cancel("start", names, timeout) if "" in ended.values() else {}
            told = {name: _JOB_ENDED.get(how, how) for name, how in ended.items() if how not in (DONE, "")}
            failures = self._look_after(names, {**told, **late})
        self._hang_up()
        states = self.states(names)
        strays = [name for name in names if name not in failures and 0.0 < states[name].active_since < began]
        return {**failures, **(self._have("restart", strays, timeout) if strays else {})}

    def _have(self, verb: str, names: Sequence[str], timeout: float) -> Dict[str, str]:
        try:
            ended = self._systemctl([verb, "--", *names], timeout=timeout, check=False)
        except ProgramTimedOut:
            return self._look_after(names, self._cancel(verb, names, timeout))
        return self._look_after(names, complaints(ended, verb, names))

    def _look_after(self, names: Sequence[str], failures: Mapping[str, str]) -> Dict[str, str]:
        """What failed, of those that are known to and of those that fail a moment later."""
        time.sleep(SETTLE)
        states = self.states(names)
        reasons = {name: _failure(states[name]) for name in names}
        said = {name: f"{reason}: it is {states[name]}" for name, reason in failures.items()}
        return {**{name: reason for name, reason in reasons.items() if reason}, **said}

    def _directly(self, method: str, names: Sequence[str], timeout: float) -> Optional[Mapping[str, str]]:
        """How the jobs ended, asked for over a line that is kept for the next; None where there is none."""
        try:
            if self._line is None:
                self._line = ManagerLine()
            return self._line.have(method, names, timeout)
        except LineUnusable:
            self._hang_up()
            return None

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def renew(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Stop all of them, and then start all of them, with nothing between; what failed, with the reason."""
        if len(names) < 2:
            return self.change("restart", names, timeout)
        stuck = self.stop_briefly(names, timeout)
        left = [name for name in names if name not in stuck]
        return {**(self.start_again(left, timeout) if left else {}), **stuck}

    def queue(self, verb: str, names: Sequence[str]) -> None:
        """The same without waiting, for the boot."""
        if names:
            self._systemctl(["--no-block", verb, "--", *names], check=False)

    def forget_failures(self, names: Sequence[str]) -> None:
        """Clear failed states and counted restarts."""
        if names:
            self._systemctl(["reset-failed", "--", *names], check=False)

    def request_reboot(self) -> None:
        """Begin to restart the host, and do not wait."""
        self._systemctl(["--no-block", "reboot"])

    def kill(self, name: str) -> None:
        """Kill all processes of a service, and those that it starts to end itself, until it is gone."""
        deadline = time.monotonic() + QUICK
        while time.monotonic() < deadline:
            self._systemctl(["kill", "--signal=KILL", "--", name], check=False)
            time.sleep(_POLL)
            if self.states([name])[name].active in _OVER:
                return

    def discard(self, *names: str) -> None:
        """Stop transient units, where there are any."""
        if names:
            self._systemctl(["stop", "--", *names], check=False)

    # -- transient units -------------------------------------------------------------------------------------------------

    def start_service(self, name: str, command: Sequence[str], properties: Mapping[str, str], *, wait: bool = True) -> None:
        """Start a transient service, or ask for its start and do not `wait`; fails where one of that name runs."""
        if "CollectMode" not in properties:
            self.forget_failures([name])
        settings = [f"--property={key}={value}" for key, value in properties.items() if key != "Description"]
        description = f"--description={properties.get('Description', name)}"
        block = [] if wait else ["--no-block"]
        _run(["systemd-run", "--quiet", *block, f"--unit={name}", description, *settings, "--", *literal(command)])

    def start_timer(self, name: str, command: Sequence[str], seconds: float, again: float) -> None:
        """Start a transient timer that runs `command` after `seconds`, and again `again` seconds after that ended."""
        self.forget_failures([f"{name}.service"])
        times = [f"--on-active={seconds:.0f}s", f"--on-unit-inactive={again:.0f}s", "--timer-property=AccuracySec=1s"]
        early = [f"--{kind}={setting}" for kind in ("property", "timer-property") for setting in _AT_ANY_TIME]
        _run(["systemd-run", "--quiet", f"--unit={name}", *times, *early, "--", *literal(command)])

    # -- details ---------------------------------------------------------------------------------------------------------

    def _reload(self, timeout: float) -> None:
        self._hang_up()  # nobody listens meanwhile
        try:
            self._systemctl(["daemon-reload"], timeout=timeout)
        except ProgramTimedOut:
            raise ReloadHangs(timeout) from None

    def _systemctl(self, arguments: Sequence[str], *, timeout: float = 0.0, check: bool = True) -> Completed:
        command = [*self._command, "--no-pager", "--no-ask-password", *arguments]
        return _run(command, timeout=timeout or self._quick, check=check)

    def _show(self, names: Sequence[str]) -> Dict[str, UnitState]:
        options = [f"--property={','.join(_PROPERTIES.split())}", "--"]
        blocks = self._systemctl(["show", *options, *names]).text.strip("\n").split("\n\n")
        if len(blocks) != len(names):
            if len(names) == 1:
                return {names[0]: UnitState()}
            return {name: state for one in names for name, state in self._show([one]).items()}
        return {name: self._state(name, block) for name, block in zip(names, blocks)}

    def _state(self, name: str, block: str) -> UnitState:
        said = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        return UnitState(
            load=said.get("LoadState", "not-found"),
            active=said.get("ActiveState", "inactive"),
            sub=said.get("SubState", "dead"),
            result=said.get("Result") or "success",
            n_restarts=_number(said.get("NRestarts")),
            main_pid=_number(said.get("MainPID")),
            exit_status=_number(said.get("ExecMainStatus")),
            type=said.get("Type", ""),
            remains=said.get("RemainAfterExit") == "yes",
            condition=said.get("ConditionResult") != "no" or not _number(said.get("ConditionTimestampMonotonic")),
            fragment=said.get("FragmentPath", ""),
            drop_ins=tuple(said.get("DropInPaths", "").split()),
            enabled=said.get("UnitFileState", ""),
            active_since=_number(said.get("ActiveEnterTimestampMonotonic")) / 1e6,
            needs_reload=said.get("NeedDaemonReload") == "yes",
            job=_number(said.get("Job")),
            memory=_memory(said.get("MemoryCurrent")),
            control_group=said.get("ControlGroup", ""),
            shipped=self._is_shipped(name),
            run=said.get("InvocationID", ""),
            bound=tuple(dict.fromkeys(other for key in _BONDS for other in said.get(key, "").split())),
        )

    def _is_shipped(self, name: str) -> bool:
        if "/" in name:
            return False
        files = [name, template_of(name) or name]
        return any((self._root / place / file).is_file() for place in self._places for file in files)

    def _stop(self, names: Sequence[str], timeout: float, *, briefly: bool = False) -> Dict[str, str]:
        """What is down is stopped, however it ended: that is forgotten. So is what somebody has started again meanwhile.

        What is stopped `briefly` is not looked at where systemd says that it did that: its start will forget the rest.
        """
        late: Dict[str, str] = {}
        how = self._directly("StopUnit", names, timeout) if briefly else None
        if how is not None:
            ended = all(one == DONE for one in how.values())
            late = self._cancel("stop", names, timeout) if "" in how.values() else {}
        else:
            try:
                ended = self._systemctl(["stop", "--", *names], timeout=timeout, check=False).status == 0
            except ProgramTimedOut:
                ended, late = False, self._cancel("stop", names, timeout)
        if ended and briefly:
            return {}
        states = self.states(names)
        left = [name for name in names if states[name].active == "deactivating" or (states[name].is_active and not ended)]
        self.forget_failures([name for name in names if states[name].active == "failed"])
        return {name: late.get(name, f"it is still {states[name]}") for name in left}

    def _cancel(self, verb: str, names: Sequence[str], timeout: float) -> Dict[str, str]:
        states = self.states(names)
        pending = {name: str(states[name].job) for name in names if states[name].job}
        if pending:
            self._systemctl(["cancel", "--", *pending.values()], check=False)
        return dict.fromkeys(pending, f"it did not {verb} within {timeout:g} s")


class UserSystemd(Systemd):
    """The systemd of one user. It is asked as that user, since its socket is where the user may put another in its place."""

    def __init__(self, account: pwd.struct_passwd, root: Path = Path("/")) -> None:
        """Of an account for which one runs."""
        super().__init__(root)
        self._uid = account.pw_uid
        become = ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups", "--")
        place = f"/run/user/{account.pw_uid}"
        speak = ("env", f"XDG_RUNTIME_DIR={place}", f"DBUS_SESSION_BUS_ADDRESS=unix:path={place}/bus", f"HOME={account.pw_dir}")
        self._command = (*become, *speak, "systemctl", "--user")
        self._places = _SHIPPED_FOR_USERS
        self._quick = QUICK_FOR_USERS

    def _directly(self, method: str, names: Sequence[str], timeout: float) -> Optional[Mapping[str, str]]:
        """A user's systemd is asked as that user."""
        return None

    def daemon_reload(self, *, patient: bool = False) -> None:
        """Read all unit files again. Raises `ReloadHangs` and `ProgramFailed`; no user is waited for longer than others."""
        self._reload(RELOAD_FOR_USERS)

    def log_tail(self, name: str, lines: int) -> Sequence[str]:
        """The last lines of a unit's journal."""
        return _journal([f"--lines={lines}", "--boot", f"_SYSTEMD_USER_UNIT={name}", f"_UID={self._uid}"])


def literal(command: Iterable[str]) -> List[str]:
    """Arguments that systemd hands on letter for letter: it would put variables in otherwise."""
    return [argument.replace("$", "$$") for argument in command]


def last_run(entries: Sequence[Mapping[str, object]]) -> List[str]:
    """The messages of the last run in a unit's journal. A program that ends at once may leave lines that name no run."""
    runs = [entry.get("INVOCATION_ID") or entry.get("_SYSTEMD_INVOCATION_ID") for entry in entries]
    last = next((found for found in reversed(runs) if found), None)
    begins = runs.index(last) if last is not None else 0
    return [line for line in (_message(entry) for entry in entries[begins:]) if line]


def _message(entry: Mapping[str, object], limit: int = MAX_LOG_LINE) -> str:
    """Text; bytes where it is not UTF-8; nothing where it is too long for JSON."""
    message = entry.get("MESSAGE")
    if isinstance(message, list):
        message = bytes(byte for byte in message if isinstance(byte, int) and 0 <= byte < 256).decode(errors="replace")
    return one_line(message, limit) if isinstance(message, str) else ""


def complaints(ended: Completed, verb: str, names: Sequence[str]) -> Dict[str, str]:
    """What systemctl complains of, by unit. What it says of no unit in particular is said of all."""
    if ended.status == 0:
        return {}
    words = ended.stderr.decode(errors="replace")
    failures: Dict[str, str] = {}
    for pattern in (_FAILED_TO, _JOB_FOR):
        for line in words.splitlines():
            found = pattern.match(line.strip())
            if found is not None and found.group(1) in names:
                prefix = "a unit that it needs " if line.startswith("A dependency") else ""
                failures.setdefault(found.group(1), one_line(prefix + found.group(2)))
    if failures:
        return failures
    return dict.fromkeys(names, ended.last_words or f"systemctl {verb} failed")


def _failure(state: UnitState) -> str:
    if state.load not in ("loaded", "template"):
        return f"systemd does not know it (LoadState={state.load})"
    return f"it is {state}" if state.is_crashing else ""


def _journal(arguments: Sequence[str]) -> List[str]:
    lines = _journalctl(["--output=cat", *arguments]).splitlines()
    return [one_line(line, MAX_LOG_LINE) for line in lines if line.strip()]


def _journalctl(arguments: Sequence[str]) -> str:
    """A host whose journal cannot be read is a host without one."""
    try:
        _run(["journalctl", "--sync"], timeout=5.0, check=False)
        return _run(["journalctl", "--no-pager", "--quiet", *arguments], check=False).text
    except DeployerError:
        return ""


def _run(arguments: Sequence[str], *, timeout: float = QUICK, check: bool = True) -> Completed:
    return run(arguments, timeout=timeout, check=check)


def _any_instance(template: str) -> str:
    return template.replace("@.", "@*.", 1)


def _memory(text: object) -> int:
    """systemd says `[not set]`, or the largest number there is, where it does not count."""
    used = _number(text) if isinstance(text, str) and text.isdecimal() else -1
    return used if used < (1 << 63) else -1


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() else 0
