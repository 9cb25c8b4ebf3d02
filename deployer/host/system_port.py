"""The real answers to `machine`'s ports: PID 1 through systemctl, the kernel, systemd-tmpfiles."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Collection, Dict, Final, List, Mapping, Optional, Sequence

from deployer.errors import DeployerError
from deployer.host.machine import SystemdPort, SystemPort, UnitStatus
from deployer.host.process import run

_QUICK: Final = 30.0
_RELOAD: Final = 90.0
_POLL: Final = 0.05
_PROPERTIES: Final = "Id,LoadState,ActiveState,SubState,Result,Job"
_CONDITIONS_MET: Final = ("success", "exec-condition", "condition")


class RealSystemd(SystemdPort):
    """PID 1 of this host. Jobs are queued without blocking, then followed, each with a deadline; what hangs is cancelled."""

    def daemon_reload(self) -> None:
        """Read all unit files again."""
        run(["systemctl", "daemon-reload"], timeout=_RELOAD)

    def states(self, names: Collection[str]) -> Mapping[str, UnitStatus]:
        """Of each."""
        shown = self._show(names)
        return {
            name: UnitStatus(
                item.get("LoadState", "not-found"), item.get("ActiveState", "inactive"), item.get("SubState", "dead")
            )
            for name, item in shown.items()
        }

    def change(self, verb: str, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """`stop`, `start`, `restart` or `reload` units, together."""
        if not names:
            return {}
        queued = run(["systemctl", "--no-block", verb, "--", *names], timeout=_QUICK, check=False)
        failures = self._await_jobs(verb, names, timeout)
        if queued.status != 0 and not failures and verb != "stop":
            words = queued.stderr.decode(errors="replace").strip().splitlines()
            failures = {names[0]: words[-1] if words else f"systemctl {verb} failed"}
        return failures

    def queue(self, verb: str, names: Sequence[str]) -> None:
        """The same without waiting, for the boot."""
        if names:
            run(["systemctl", "--no-block", verb, "--", *names], timeout=_QUICK, check=False)

    def forget_failures(self, names: Sequence[str]) -> None:
        """Clear the failed state of units that are gone."""
        if names:
            run(["systemctl", "reset-failed", "--", *names], timeout=_QUICK, check=False)

    def start_service(self, name: str, command: Sequence[str], properties: Mapping[str, str]) -> None:
        """Start a transient service; fails where one of that name runs."""
        run(["systemctl", "reset-failed", "--", name], timeout=_QUICK, check=False)
        settings = [f"--property={key}={value}" for key, value in properties.items() if key != "Description"]
        description = f"--description={properties.get('Description', name)}"
        run(["systemd-run", "--quiet", f"--unit={name}", description, *settings, "--", *command], timeout=_QUICK)

    def start_timer(self, name: str, command: Sequence[str], seconds: float, again: float) -> None:
        """Start a transient timer that runs `command` after `seconds`, and again `again` seconds after that ended."""
        run(["systemctl", "reset-failed", "--", f"{name}.service"], timeout=_QUICK, check=False)
        arguments = [
            "systemd-run",
            "--quiet",
            f"--unit={name}",
            f"--on-active={seconds:.0f}s",
            f"--on-unit-inactive={again:.0f}s",
        ]
        run([*arguments, "--timer-property=AccuracySec=1s", "--", *command], timeout=_QUICK)

    def kill(self, name: str) -> None:
        """Kill all processes of a service, and wait until it is gone."""
        run(["systemctl", "kill", "--signal=KILL", "--kill-who=all", "--", name], timeout=_QUICK, check=False)
        deadline = time.monotonic() + _QUICK
        while self.states([name])[name].active not in ("inactive", "failed") and time.monotonic() < deadline:
            time.sleep(_POLL)

    def discard(self, name: str) -> None:
        """Stop a transient unit, where there is one."""
        run(["systemctl", "stop", "--", name], timeout=_QUICK, check=False)

    def log_tail(self, name: str, lines: int) -> Sequence[str]:
        """The last lines of a unit's journal."""
        try:
            command = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--lines={lines}", f"--unit={name}"]
            return str(run(command, timeout=_QUICK, check=False).stdout, "utf-8", "replace").splitlines()
        except DeployerError:
            return []

    def _show(self, names: Collection[str]) -> Dict[str, Dict[str, str]]:
        wanted = list(names)
        if not wanted:
            return {}
        output = run(["systemctl", "show", f"--property={_PROPERTIES}", "--", *wanted], timeout=_QUICK).stdout.decode(
            errors="replace"
        )
        blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in output.split("\n\n")]
        return {name: blocks[index] if index < len(blocks) else {} for index, name in enumerate(wanted)}

    def _await_jobs(self, verb: str, names: Sequence[str], timeout: float) -> Dict[str, str]:
        deadline = time.monotonic() + timeout
        while True:
            shown = self._show(names)
            pending = [name for name in names if shown[name].get("Job", "") not in ("", "0")]
            if not pending:
                return {name: reason for name in names for reason in [_failure(verb, shown[name])] if reason}
            if time.monotonic() >= deadline:
                run(["systemctl", "cancel", "--", *[shown[name]["Job"] for name in pending]], timeout=_QUICK, check=False)
                return dict.fromkeys(pending, f"it did not {verb} within {timeout:g} s")
            time.sleep(_POLL)


class RealSystem(SystemPort):
    """The kernel of this host."""

    def sysctl(self, key: str) -> Optional[str]:
        """The value of a key; None where the kernel has no such key."""
        try:
            return _key_path(key).read_text().strip()
        except OSError:
            return None

    def set_sysctl(self, key: str, value: str) -> None:
        """Set it."""
        _key_path(key).write_text(value + "\n")

    def make_tmpfiles(self, path: str) -> None:
        """Have systemd-tmpfiles create what a file says."""
        run(["systemd-tmpfiles", "--create", path], timeout=_RELOAD)


def _key_path(key: str) -> Path:
    """`net.ipv4.conf.eth0/1.forwarding`: dots and slashes trade places, as in sysctl(8)."""
    parts: List[str] = key.split("/") if "/" in key and "." not in key else [part.replace("/", ".") for part in key.split(".")]
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{key} is not the name of a kernel setting")
    return Path("/proc/sys", *parts)


def _failure(verb: str, shown: Mapping[str, str]) -> str:
    active, sub, result = shown.get("ActiveState"), shown.get("SubState"), shown.get("Result", "success")
    if verb == "stop":
        return "" if active in ("inactive", "failed", None) else f"it is still {active}"
    if shown.get("LoadState") not in ("loaded", None):
        return f"systemd does not know it (LoadState={shown.get('LoadState')})"
    if active == "failed" or sub == "auto-restart" or (active == "inactive" and result not in _CONDITIONS_MET):
        return f"it is {active} ({sub}, result {result})"
    return ""
