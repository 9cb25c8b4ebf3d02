"""One attempt of a health check, of whichever kind. What comes back is data, never trusted.

Each activation loads this, and few ask web servers: what asks them takes longer to load than all else, and is loaded then.
"""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import stat
import time
from typing import Callable, Collection, Dict, Final, Mapping, Optional
from urllib.parse import quote

from deployer.errors import DeployerError
from deployer.formats.manifest import Check
from deployer.host.control_groups import memory_of
from deployer.host.dialing import dial, left_until
from deployer.host.machine import SystemdPort
from deployer.host.matching import first_match
from deployer.host.process import one_line, run_alone
from deployer.host.readings import (
    LARGEST_READING,
    Attempt,
    FileReading,
    of_answer,
    of_conversation,
    of_file,
    of_samples,
    undecided,
    unmatched,
)
from deployer.host.systemd import Systemd
from deployer.host.unit_state import UnitState

SETTLED: Final = 1.0
"""Seconds for which a unit must have been active: one that dies at once is active for a moment too."""
_MIB: Final = 1 << 20
_PIECE: Final = 1 << 16


class Prober:
    """Probes, and remembers how often units had been restarted, and what was found in the journal."""

    def __init__(
        self, systemd: Optional[SystemdPort] = None, restarts: Optional[Mapping[str, int]] = None, journal: str = ""
    ) -> None:
        """`restarts`, and where the `journal` ended, are those from before the activation."""
        self._systemd = systemd or Systemd()
        self._restarts: Dict[str, int] = dict(restarts or {})
        self._journal = journal
        self._cursors: Dict[str, str] = {}
        self._found: Dict[str, str] = {}
        self._kinds: Mapping[str, Callable[[Check], Attempt]] = {
            "http": _http,
            "tcp": _tcp,
            "command": _command,
            "unit": self._unit,
            "journal": self._lines,
            "file": _file,
            "prometheus": _prometheus,
        }

    def attempt(self, check: Check) -> Attempt:
        """Probe once. Whatever goes wrong is the attempt's answer."""
        probe = self._kinds.get(check.kind)
        if probe is None:
            return Attempt(False, f"there is no kind of check '{one_line(check.kind, 40)}'")
        if check.unknown:
            return Attempt(False, f"this version of deployer does not know its `{one_line(check.unknown, 40)}`")
        try:
            return probe(check)
        except DeployerError as error:
            words = one_line(error.message)
        except (TimeoutError, socket.timeout):
            words = f"no answer within {check.timeout:g} s"
        except ImportError as error:
            words = one_line(f"this host's Python has no module {error.name}")
        except (OSError, ValueError, OverflowError, re.error) as error:
            words = one_line(str(error)) or type(error).__name__
        return undecided(check, words) if check.kind == "prometheus" else Attempt(False, words)

    def restarts_of(self, units: Collection[str]) -> Dict[str, int]:
        """How often systemd has restarted each so far."""
        states = self._systemd.states(units) if units else {}
        return {name: state.n_restarts for name, state in states.items() if isinstance(state, UnitState)}

    def _unit(self, check: Check) -> Attempt:
        state = self._systemd.states([check.unit])[check.unit]
        if state.active != "active":
            return Attempt(False, f"{check.unit} is {state if isinstance(state, UnitState) else state.active}")
        if isinstance(state, UnitState):
            before = self._restarts.setdefault(check.unit, state.n_restarts)
            # Starting a unit by hand counts from 0 again, so 0 is fine whatever it was before.
            if state.n_restarts not in (0, before):
                since = state.n_restarts - before if state.n_restarts > before else state.n_restarts
                return Attempt(False, f"{check.unit} has been restarted {since} times since the activation")
            age = time.clock_gettime(time.CLOCK_MONOTONIC) - state.active_since
            if age < SETTLED:
                time.sleep(SETTLED - age)
                return self._again(check, state)
        return _steady(check, state)

    def _again(self, check: Check, before: UnitState) -> Attempt:
        state = self._systemd.states([check.unit])[check.unit]
        if state == before:
            return _steady(check, state)
        return Attempt(False, f"{check.unit} does not stay active: it is {state}")

    def _lines(self, check: Check) -> Attempt:
        """What was found once stays found: the lines after it are read from then on."""
        told = f"the journal{f' of {check.unit}' if check.unit else ''}"
        if check.name not in self._found:
            after = self._cursors.get(check.name, self._journal)
            lines, last = self._systemd.journal_lines(after=after, unit=check.unit, timeout=check.timeout)
            self._cursors[check.name] = last
            match = first_match(check.pattern, lines, check.timeout)
            if match is None:
                return Attempt(True, f"{told} is free of '{one_line(check.pattern, 80)}'")
            self._found[check.name] = one_line(match, 160)
        return Attempt(False, f"{told} says: {self._found[check.name]}")


def _steady(check: Check, state: object) -> Attempt:
    """An active unit: whether it uses no more memory than it may."""
    told = f"{check.unit} is active ({getattr(state, 'sub', '')})"
    if not check.memory_max:
        return Attempt(True, told)
    used = state.memory if isinstance(state, UnitState) else -1
    if used < 0:
        used = memory_of(getattr(state, "control_group", "")) or -1
    if used < 0:
        return Attempt(False, f"{told}, and the memory that it uses can't be told")
    shown = f"uses {used / _MIB:.1f} MiB"
    if used > check.memory_max:
        return Attempt(False, f"{check.unit} {shown}, and {check.memory_max / _MIB:.1f} MiB is the most")
    return Attempt(True, f"{told} and {shown}")


def _http(check: Check) -> Attempt:
    from deployer.host.asking import ask

    deadline = time.monotonic() + check.timeout
    answer = ask(check)
    return _matching(check, of_answer(check, answer, time.time()), answer.body, deadline)


def _matching(check: Check, reading: Attempt, data: bytes, deadline: float) -> Attempt:
    """What is healthy so far, and whether its pattern is found too."""
    if not reading.healthy or not check.pattern:
        return reading
    found = first_match(check.pattern, data.decode("utf-8", "replace").splitlines(), left_until(deadline))
    return unmatched(check, reading) if found is None else reading


def _tcp(check: Check) -> Attempt:
    deadline = time.monotonic() + check.timeout
    said = b""
    with dial(check.address, check.port, deadline) as connection:
        if check.send:
            connection.settimeout(left_until(deadline))
            connection.sendall(check.send.encode())
        while (check.expect or check.pattern) and len(said) < LARGEST_READING:
            reading = _matching(check, of_conversation(check, said), said, deadline)
            if reading.healthy:
                return reading
            try:
                connection.settimeout(left_until(deadline))
                piece = connection.recv(_PIECE)
            except (TimeoutError, socket.timeout):
                return Attempt(False, f"{reading.message} (within {check.timeout:g} s)")
            if not piece:
                break
            said += piece
    return _matching(check, of_conversation(check, said), said, deadline)


def _command(check: Check) -> Attempt:
    if not check.command:
        return Attempt(False, "it names no command")
    ended = run_alone(check.command, timeout=check.timeout)
    program = one_line(check.command[0], 100)
    if ended.status == 0:
        return Attempt(True, f"{program} ended with 0")
    how = f"ended with {ended.status}" if ended.status > 0 else f"was killed by signal {-ended.status}"
    words = ended.last_words
    return Attempt(False, one_line(f"{program} {how}{f': {words}' if words else ''}"))


def _file(check: Check) -> Attempt:
    deadline = time.monotonic() + check.timeout
    try:
        found, content = os.stat(check.path), b""
        if check.pattern and stat.S_ISREG(found.st_mode):
            with open(check.path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
                content = file.read(LARGEST_READING)
    except (FileNotFoundError, NotADirectoryError):
        return Attempt(False, f"{one_line(check.path, 120)} is not there")
    reading = of_file(check, FileReading(found.st_mode, time.time() - found.st_mtime))
    return _matching(check, reading, content, deadline)


def _prometheus(check: Check) -> Attempt:
    from deployer.host.asking import ask

    url = f"{check.url.rstrip('/')}/api/v1/query?query={quote(check.query, safe='')}"
    answer = ask(dataclasses.replace(check, url=url, method="GET"))
    if answer.status != 200:
        told = one_line(answer.body.decode("utf-8", "replace"), 120)
        return undecided(check, f"the server answered {answer.status}: {told}")
    return of_samples(check, answer.body)
