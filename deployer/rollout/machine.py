"""The rollout as a state machine without any I/O: inputs and the time go in, commands come out.

    running wave 1 ─► baking ─► running wave 2 ─► … ─► finished
          │              │            │                   ▲
          └──────────────┴────────────┴─► draining ───────┤
                                             └─► returning┘

*Draining*: the budget is spent, a host needs a person, or somebody cancelled: no host is begun any more, those under way
come to their end. *Returning*: hosts that were changed go back, as the strategy's `on_failure` says. The executor drives it
over real hosts, a simulation over thousands of random fleets; both get the same decisions.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from deployer.errors import ExitCode
from deployer.history.records import HostOutcome
from deployer.records import Record
from deployer.rollout.strategy import OnFailure, Strategy
from deployer.rollout.waves import Wave

# Inputs


class HostEnded(Record):
    """A host that was to be changed has come to its end."""

    host: str
    outcome: HostOutcome
    uncertain: bool = False
    """With `UNREACHABLE`: it may run the new generation."""


class ReturnEnded(Record):
    """A host that was to go back has come to its end: `RETURNED`, or anything else for "not known to be back"."""

    host: str
    outcome: HostOutcome


class TimePassed(Record):
    """Nothing but the clock has moved."""


class CancelRequested(Record):
    """No more hosts shall be begun."""

    reason: str = "it was cancelled"
    abandon: bool = False
    """Hosts under way are let go, and nothing is taken back."""


Input = HostEnded | ReturnEnded | TimePassed | CancelRequested

# Commands


class BeginWave(Record):
    """Tell that a wave begins."""

    index: int


class Activate(Record):
    """Change a host; answer with `HostEnded`."""

    host: str


class EndWave(Record):
    """Tell that every host of a wave has ended."""

    index: int


class WaitUntil(Record):
    """Bake: answer with `TimePassed` at that time."""

    time: float
    index: int


class Stop(Record):
    """Tell that no more hosts are begun."""

    reason: str


class BeginReturn(Record):
    """Tell that hosts are taken back."""

    hosts: tuple[str, ...]
    reason: str


class ReturnHost(Record):
    """Take a host back to its recorded generation; answer with `ReturnEnded`."""

    host: str


class Ending(enum.StrEnum):
    """How a rollout ended."""

    DONE = "done"
    PARTIAL = "partial"
    """Some hosts are not as they should be, within the budget."""
    STOPPED = "stopped"
    ROLLED_BACK = "rolled-back"
    CANCELLED = "cancelled"
    NEEDS_PERSON = "needs-person"

    @property
    def exit_code(self) -> ExitCode:
        """What the process tells its caller."""
        match self:
            case Ending.DONE:
                return ExitCode.DONE
            case Ending.PARTIAL:
                return ExitCode.PARTIAL
            case Ending.NEEDS_PERSON:
                return ExitCode.NEEDS_PERSON
            case Ending.STOPPED | Ending.ROLLED_BACK | Ending.CANCELLED:
                return ExitCode.FAILED


class Result(Record):
    """The end of a rollout."""

    ending: Ending
    outcomes: Mapping[str, HostOutcome]
    reason: str = ""
    """Why it was stopped."""

    @property
    def exit_code(self) -> ExitCode:
        """What the process tells its caller."""
        return self.ending.exit_code


class Finish(Record):
    """There is nothing left to do."""

    result: Result


Command = BeginWave | Activate | EndWave | WaitUntil | Stop | BeginReturn | ReturnHost | Finish

_CHANGED = frozenset({HostOutcome.CONFIRMED, HostOutcome.STAGED})
_GOOD = frozenset({HostOutcome.UNCHANGED, HostOutcome.PUSHED}) | _CHANGED
_FAILED = frozenset({HostOutcome.FAILED, HostOutcome.ROLLED_BACK, HostOutcome.NEEDS_PERSON})


class _Phase(enum.Enum):
    RUNNING = enum.auto()
    BAKING = enum.auto()
    DRAINING = enum.auto()
    RETURNING = enum.auto()
    FINISHED = enum.auto()


class RolloutMachine:
    """One rollout. `start` once, then `receive` for everything that happens; both answer with commands to carry out."""

    def __init__(
        self,
        strategy: Strategy,
        waves: Sequence[Wave],
        *,
        total: int | None = None,
        ended: Mapping[str, HostOutcome] | None = None,
        domains: Mapping[str, str] | None = None,
    ) -> None:
        """`total`: all hosts of the rollout, of which percentages of `max_unreachable` count. `ended`: hosts that need not be
        begun, from the preflight or an interrupted run of the same rollout. `domains`: the failure domain of hosts that
        have one."""
        self._strategy = strategy
        self._waves = tuple(waves)
        self._canaries = tuple(wave for wave in waves if wave.canary)
        self._domains = dict(domains or {})
        self._outcomes: dict[str, HostOutcome] = {host: HostOutcome.NOT_STARTED for wave in waves for host in wave.hosts}
        self._members = len(self._outcomes)
        self._outcomes.update(ended or {})
        self._count = Counter(self._outcomes.values())
        self._total = total if total is not None else len(self._outcomes)
        self._changed: dict[str, None] = dict.fromkeys(host for host, outcome in self._outcomes.items() if outcome in _CHANGED)
        self._under_way: dict[str, None] = {}
        self._waiting: dict[str, None] = {}
        self._to_return: list[str] = []
        self._phase = _Phase.RUNNING
        self._wave = -1
        self._bake_until = 0.0
        self._cancelled = ""
        self._abandoned = False

    @property
    def is_finished(self) -> bool:
        """Whether `Finish` was given."""
        return self._phase is _Phase.FINISHED

    @property
    def under_way(self) -> frozenset[str]:
        """The hosts that are being changed or taken back."""
        return frozenset(self._under_way)

    def start(self, now: float) -> tuple[Command, ...]:
        """Begin."""
        return tuple(self._advance(now))

    def receive(self, happened: Input, now: float) -> tuple[Command, ...]:
        """Take one input at a time that never goes back."""
        if self.is_finished:
            return ()
        match happened:
            case HostEnded(host, outcome, uncertain):
                self._under_way.pop(host)
                self._set(host, outcome)
                if outcome in _CHANGED or uncertain:
                    self._changed[host] = None
            case ReturnEnded(host, outcome):
                self._under_way.pop(host)
                back = outcome is HostOutcome.RETURNED
                self._set(host, HostOutcome.RETURNED if back else HostOutcome.NEEDS_PERSON)
                if back:
                    self._changed.pop(host, None)
            case CancelRequested(reason, abandon):
                self._cancelled = self._cancelled or reason
                self._abandoned = self._abandoned or abandon
                if abandon:
                    self._to_return.clear()
            case TimePassed():
                pass
        return tuple(self._advance(now))

    def _advance(self, now: float) -> list[Command]:
        commands: list[Command] = []
        while self._step(now, commands):
            pass
        return commands

    def _step(self, now: float, commands: list[Command]) -> bool:
        """Do what can be done in this phase; whether another step may follow at once."""
        match self._phase:
            case _Phase.RUNNING | _Phase.BAKING if reason := self._trouble() or self._cancelled:
                commands.append(Stop(reason))
                self._phase = _Phase.DRAINING
                return True
            case _Phase.RUNNING:
                return self._run(now, commands)
            case _Phase.BAKING:
                return now >= self._bake_until and self._next_wave(commands)
            case _Phase.DRAINING:
                return not self._under_way and self._begin_return(commands)
            case _Phase.RETURNING:
                return self._return(commands)
        return False

    def _run(self, now: float, commands: list[Command]) -> bool:
        if self._wave < 0:
            return self._next_wave(commands)
        for host in tuple(self._waiting):
            if len(self._under_way) >= self._strategy.max_parallel:
                break
            if self._may_begin(host):
                del self._waiting[host]
                self._under_way[host] = None
                self._set(host, HostOutcome.UNDER_WAY)
                commands.append(Activate(host))
        if self._waiting or self._under_way:
            return False
        commands.append(EndWave(self._wave))
        last = self._wave + 1 >= len(self._waves)
        if last or self._strategy.bake_time <= 0 or self._was_passed(self._wave):
            return self._next_wave(commands)
        self._phase = _Phase.BAKING
        self._bake_until = now + self._strategy.bake_time
        commands.append(WaitUntil(self._bake_until, self._wave))
        return False

    def _next_wave(self, commands: list[Command]) -> bool:
        if self._wave + 1 >= len(self._waves):
            return self._finish(commands)
        self._wave += 1
        hosts = self._waves[self._wave].hosts
        self._waiting = dict.fromkeys(host for host in hosts if self._outcomes[host] is HostOutcome.NOT_STARTED)
        self._phase = _Phase.RUNNING
        commands.append(BeginWave(self._wave))
        return True

    def _begin_return(self, commands: list[Command]) -> bool:
        """What happens to the hosts that were changed, now that none is under way."""
        reason = self._trouble()
        self._to_return = list(self._changed_hosts_to_return()) if reason and not self._abandoned else []
        if not self._to_return:
            return self._finish(commands)
        self._phase = _Phase.RETURNING
        commands.append(BeginReturn(tuple(self._to_return), reason))
        return True

    def _changed_hosts_to_return(self) -> Iterator[str]:
        """Last changed, first returned. Who needs a person is left to that person."""
        match self._strategy.on_failure:
            case OnFailure.STOP:
                scope: Sequence[str] = ()
            case OnFailure.ROLLBACK_WAVE:
                scope = self._waves[self._newest_wave()].hosts if self._waves else ()
            case OnFailure.ROLLBACK_ALL:
                scope = tuple(self._changed)
        for host in reversed(self._changed):
            if host in scope and self._outcomes[host] is not HostOutcome.NEEDS_PERSON:
                yield host

    def _return(self, commands: list[Command]) -> bool:
        """Budgets do not stop this: every host is tried."""
        for host in tuple(self._to_return):
            if len(self._under_way) >= self._strategy.max_parallel:
                break
            if self._may_begin(host):
                self._to_return.remove(host)
                self._under_way[host] = None
                commands.append(ReturnHost(host))
        return not self._to_return and not self._under_way and self._finish(commands)

    def _finish(self, commands: list[Command]) -> bool:
        self._phase = _Phase.FINISHED
        reason = self._trouble() or (self._cancelled if self._ending() is Ending.CANCELLED else "")
        commands.append(Finish(Result(self._ending(), dict(self._outcomes), reason)))
        return False

    def _ending(self) -> Ending:
        outcomes = {outcome for outcome, count in self._count.items() if count}
        if HostOutcome.NEEDS_PERSON in outcomes:
            return Ending.NEEDS_PERSON
        if self._abandoned:
            return Ending.CANCELLED
        if self._trouble():
            return Ending.ROLLED_BACK if HostOutcome.RETURNED in outcomes else Ending.STOPPED
        if self._cancelled and HostOutcome.NOT_STARTED in outcomes:
            return Ending.CANCELLED
        return Ending.DONE if outcomes <= _GOOD else Ending.PARTIAL

    def _set(self, host: str, outcome: HostOutcome) -> None:
        self._count[self._outcomes[host]] -= 1
        self._count[outcome] += 1
        self._outcomes[host] = outcome

    def _may_begin(self, host: str) -> bool:
        domain = self._domains.get(host)
        busy = domain is not None and any(self._domains.get(other) == domain for other in self._under_way)
        return len(self._under_way) < self._strategy.max_parallel and not busy

    def _newest_wave(self) -> int:
        """The last wave of which any host was begun."""
        begun = [
            index
            for index, wave in enumerate(self._waves)
            if any(self._outcomes[host] is not HostOutcome.NOT_STARTED for host in wave.hosts)
        ]
        return begun[-1] if begun else 0

    def _was_passed(self, index: int) -> bool:
        """Whether an interrupted run had gone beyond this wave already."""
        return self._newest_wave() > index

    def _trouble(self) -> str:
        """Why no more hosts may be begun; empty: nothing is wrong beyond the budget."""
        if self._count[HostOutcome.NEEDS_PERSON]:
            stuck = next(host for host, outcome in self._outcomes.items() if outcome is HostOutcome.NEEDS_PERSON)
            return f"{stuck} needs a person"
        strategy = self._strategy
        for wave in self._canaries:
            bad = [host for host in wave.hosts if self._outcomes[host] in _FAILED | {HostOutcome.UNREACHABLE}]
            if len(bad) > strategy.canary_max_failures.of(len(wave.hosts)):
                return f"the canary {bad[0]} is not good"
        failed = sum(self._count[outcome] for outcome in _FAILED)
        if failed > strategy.max_failures.of(self._members):
            return f"{_hosts(failed)} failed, and max_failures is {strategy.max_failures}"
        unreachable = self._count[HostOutcome.UNREACHABLE]
        if unreachable > strategy.max_unreachable.of(self._total):
            return f"{_hosts(unreachable)} could not be reached, and max_unreachable is {strategy.max_unreachable}"
        return "hosts were being taken back" if self._count[HostOutcome.RETURNED] else ""


def _hosts(count: int) -> str:
    return "1 host" if count == 1 else f"{count} hosts"
