"""Jobs of one systemd: asked for together, and followed to their end. One that outlives its time is cancelled."""

from __future__ import annotations

import time
from typing import Dict, Final, Mapping, Optional, Sequence

from deployer.host.job_failures import after_their_jobs, complaints, ended_badly
from deployer.host.manager_line import DONE, LineUnusable, ManagerLine
from deployer.host.process import ProgramTimedOut
from deployer.host.systemctl import Systemctl

SETTLE: Final = 0.1
"""Seconds after which a service that was started is looked at: one whose program is missing has failed by then."""


class Jobs:
    """Each method tells what failed, by unit, with the reason."""

    def __init__(self, systemctl: Systemctl, *, is_host: bool) -> None:
        """Of PID 1, where it `is_host`: that can be asked with no program between."""
        self._systemctl, self._is_host = systemctl, is_host
        self._line: Optional[ManagerLine] = None

    def change(self, verb: str, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """`stop`, `start`, `restart` or `reload` units, together.

        systemctl follows the jobs: only it learns that a reload or a dependency failed. What is under way when the time is
        over is cancelled.
        """
        if not names:
            return {}
        if verb in ("start", "restart"):
            self._systemctl.forget_failures(names)
        elif verb == "stop":
            return self._stop(names, timeout)
        return self._have(verb, names, timeout)

    def stop_briefly(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Stop units that `start_again` follows for: nothing is asked that can wait."""
        self._systemctl.forget_failures(names)
        return self._stop(names, timeout, briefly=True)

    def start_again(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Start what was just stopped, and anew what somebody started since."""
        began = time.monotonic()
        ended = self._directly("StartUnit", names, timeout)
        if ended is None:
            failures = self._have("start", names, timeout)
        else:
            late = self._cancel("start", names, timeout) if "" in ended.values() else {}
            failures = self._look_after(names, {**ended_badly(ended), **late})
        self.hang_up()
        states = self._systemctl.states(names)
        strays = [name for name in names if name not in failures and 0.0 < states[name].active_since < began]
        return {**failures, **(self._have("restart", strays, timeout) if strays else {})}

    def renew(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Stop all of them, and then start all of them, with nothing between."""
        if len(names) < 2:
            return self.change("restart", names, timeout)
        stuck = self.stop_briefly(names, timeout)
        left = [name for name in names if name not in stuck]
        return {**(self.start_again(left, timeout) if left else {}), **stuck}

    def hang_up(self) -> None:
        """Keep no line open: nobody listens while systemd reads its files."""
        if self._line is not None:
            self._line.close()
            self._line = None

    # -- by systemctl ----------------------------------------------------------------------------------------------------

    def _have(self, verb: str, names: Sequence[str], timeout: float) -> Dict[str, str]:
        try:
            ended = self._systemctl.run([verb, "--", *names], timeout=timeout, check=False)
        except ProgramTimedOut:
            return self._look_after(names, self._cancel(verb, names, timeout))
        return self._look_after(names, complaints(ended, verb, names))

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
                ended = self._systemctl.run(["stop", "--", *names], timeout=timeout, check=False).status == 0
            except ProgramTimedOut:
                ended, late = False, self._cancel("stop", names, timeout)
        if ended and briefly:
            return {}
        states = self._systemctl.states(names)
        left = [name for name in names if states[name].active == "deactivating" or (states[name].is_active and not ended)]
        self._systemctl.forget_failures([name for name in names if states[name].active == "failed"])
        return {name: late.get(name, f"it is still {states[name]}") for name in left}

    def _cancel(self, verb: str, names: Sequence[str], timeout: float) -> Dict[str, str]:
        states = self._systemctl.states(names)
        pending = {name: str(states[name].job) for name in names if states[name].job}
        if pending:
            self._systemctl.run(["cancel", "--", *pending.values()], check=False)
        return dict.fromkeys(pending, f"it did not {verb} within {timeout:g} s")

    def _look_after(self, names: Sequence[str], failures: Mapping[str, str]) -> Dict[str, str]:
        """What failed, of those that are known to and of those that fail a moment later."""
        time.sleep(SETTLE)
        states = self._systemctl.states(names)
        return after_their_jobs({name: states[name] for name in names}, failures)

    # -- over a line -----------------------------------------------------------------------------------------------------

    def _directly(self, method: str, names: Sequence[str], timeout: float) -> Optional[Mapping[str, str]]:
        """How the jobs ended, asked for over a line that is kept for the next; None where there is none."""
        if not self._is_host:
            return None
        try:
            if self._line is None:
                self._line = ManagerLine()
            return self._line.have(method, names, timeout)
        except LineUnusable:
            self.hang_up()
            return None
