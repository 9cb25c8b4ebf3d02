"""Carries out what the state machine decides: over real hosts, with history written before and after every step.

Order matters for what a crash leaves behind: locks, then the preflight of every host, then the plan in history; a host is
written down as begun before it is touched, and as ended as soon as it has. Where history can't be written, no further host
is begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from deployer.errors import DeployerError, ExitCode, JsonValue
from deployer.formats.messages import ARMED, CHECKING, CONFIRMED, HEALTHY, ROLLING_BACK, STAGED, SWITCHING
from deployer.history import History, HostOutcome, HostRecord, PlannedHost, RolloutRecord
from deployer.rollout import events, machine
from deployer.rollout.errors import OperationCrashed
from deployer.rollout.events import EventSink
from deployer.rollout.machine import Ending, Result, RolloutMachine
from deployer.rollout.operations import HostOperations, HostResult, Preflight, RolloutHost
from deployer.rollout.strategy import Strategy
from deployer.rollout.waves import Select, plan_waves

PREFLIGHT_PARALLEL: Final = 50
"""Connections that are opened at the same time: below what one address can serve, above what a LAN needs."""
_GOOD: Final = frozenset({HostOutcome.CONFIRMED, HostOutcome.STAGED, HostOutcome.PUSHED, HostOutcome.UNCHANGED})
_ENDED: Final = frozenset(
    {HostOutcome.ROLLED_BACK, HostOutcome.FAILED, HostOutcome.RETURNED, HostOutcome.STAGED, HostOutcome.PUSHED}
)
"""What is not begun again when a rollout goes on."""
_TOUCHED: Final = frozenset({STAGED, ARMED, SWITCHING, CHECKING, HEALTHY, CONFIRMED, ROLLING_BACK})

LET_GO_TIME: Final = 3.0
"""Seconds that an operation gets to end after it was cancelled."""
_T = TypeVar("_T")

Build = Callable[[Sequence[str]], Coroutine[object, object, None]]
"""Makes whatever the hosts that need change need; called after the preflight, before any host is touched."""


class _Cancelled(Exception):
    """Ctrl-C before any host was begun."""


class _LetGo(Exception):
    """The second Ctrl-C: the host decides for itself."""


class Cancellation:
    """What Ctrl-C does: the first stops beginning hosts, the second lets go of those under way."""

    def __init__(self) -> None:
        """Not asked for."""
        self.requested = asyncio.Event()
        self.abandoned = asyncio.Event()

    def request(self) -> None:
        """Once: stop politely. Twice: abandon."""
        (self.abandoned if self.requested.is_set() else self.requested).set()


@dataclass(frozen=True, slots=True)
class Rollout:
    """What is to be done."""

    command: str
    """`deploy`, `rollback`, `reconcile`."""
    strategy: Strategy
    hosts: Sequence[RolloutHost]
    """All hosts that were selected, in the inventory's order."""
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    """Kept in history for `resume`."""
    resumes: int | None = None
    """The number of an interrupted rollout that goes on; it was taken over by `History.take_over`."""


async def roll_out(
    rollout: Rollout,
    operations: HostOperations,
    history: History,
    emit: EventSink,
    *,
    build: Build | None = None,
    select: Select | None = None,
    unreachable: tuple[type[DeployerError], ...] = (),
    cancellation: Cancellation | None = None,
) -> Result:
    """Bring the hosts where they should be, wave by wave.

    `unreachable` names the errors that count as connection failures. Raises `HostLocked`, what `build` raises, `CanaryMissing`
    and history's errors; how hosts end is in the result.
    """
    return await _Execution(rollout, operations, history, emit, unreachable, cancellation or Cancellation()).run(build, select)


async def preflight(
    hosts: Sequence[RolloutHost],
    operations: HostOperations,
    emit: EventSink,
    *,
    unreachable: tuple[type[DeployerError], ...] = (),
) -> Mapping[str, Preflight | HostResult]:
    """Ask every host where it is, all at once. A `HostResult` stands for those that can't be changed."""
    gate = asyncio.Semaphore(PREFLIGHT_PARALLEL)

    async def ask(host: str) -> Preflight | HostResult:
        async with gate:
            try:
                found = await operations.prepare(host)
            except DeployerError as error:
                result = result_of(error, unreachable)
                _tell(emit, host, result)
                return result
        emit(events.HostConnected(host, found.state.generation, found.state.system))
        if found.error is not None:
            result = result_of(found.error, unreachable)
            _tell(emit, host, result)
            return result
        if not found.needs_change:
            emit(events.HostUnchanged(host, found.state.generation, found.state.system))
        return found

    async with asyncio.TaskGroup() as group:
        tasks = {host.name: group.create_task(ask(host.name)) for host in hosts}
    return {host: task.result() for host, task in tasks.items()}


def result_of(error: DeployerError, unreachable: tuple[type[DeployerError], ...], *, uncertain: bool = False) -> HostResult:
    """How a host ended that raised an error."""
    if isinstance(error, unreachable):
        return HostResult(HostOutcome.UNREACHABLE, error=error, uncertain=uncertain)
    grave = error.exit_code == ExitCode.NEEDS_PERSON
    return HostResult(HostOutcome.NEEDS_PERSON if grave else HostOutcome.FAILED, error=error)


class _Execution:
    """One run of one rollout."""

    def __init__(
        self,
        rollout: Rollout,
        operations: HostOperations,
        history: History,
        emit: EventSink,
        unreachable: tuple[type[DeployerError], ...],
        cancellation: Cancellation,
    ) -> None:
        self._rollout = rollout
        self._operations = operations
        self._history = history
        self._sink = emit
        self._unreachable = unreachable
        self._cancellation = cancellation
        self._record: RolloutRecord
        self._inputs: asyncio.Queue[machine.Input] = asyncio.Queue()
        self._bake_task: asyncio.Task[None] | None = None
        self._begun = False
        self._wave_of: dict[str, int] = {}
        self._previous: dict[str, int] = {}
        self._waves: tuple[tuple[str, ...], ...] = ()
        self._outcomes: dict[str, HostOutcome] = {}
        self._history_error: DeployerError | None = None
        self._canary = False
        self._started = time.monotonic()

    async def run(self, build: Build | None, select: Select | None) -> Result:
        rollout = self._rollout
        names = [host.name for host in rollout.hosts]
        if rollout.resumes is None:
            self._record = self._history.begin_rollout(
                rollout.command, strategy=rollout.strategy.to_json(), details=rollout.details
            )
        else:
            self._record = self._history.rollout(rollout.resumes)
        try:
            self._history.lock(names, rollout=self._record.number)
            result = await self._go(names, build, select)
        except _Cancelled:
            result = Result(Ending.CANCELLED, dict.fromkeys(names, HostOutcome.NOT_STARTED), "it was cancelled")
        except BaseException as error:
            # Once a host has been begun the rollout stays open in history, and can be resumed.
            if not self._begun:
                with contextlib.suppress(DeployerError):
                    reason = error.message.split("\n", 1)[0] if isinstance(error, DeployerError) else repr(error)
                    self._close(Ending.STOPPED, reason)
            raise
        if self._history_error is not None:
            self._sink(self._finished(result.ending, self._history_error.message))
            raise self._history_error
        self._close(result.ending, result.reason)
        return result

    async def _go(self, names: list[str], build: Build | None, select: Select | None) -> Result:
        known = {record.host: record for record in self._history.hosts_of(self._record.number)}
        found = await self._or_cancelled(
            preflight(self._rollout.hosts, self._operations, self._emit, unreachable=self._unreachable)
        )
        ended = {host: outcome for host in names if (outcome := _ended_already(found[host], known.get(host)))}
        changing = [host for host in names if host not in ended]
        mine = {host for host, record in known.items() if record.wave > 0}
        out_of_reach = {host for host, outcome in ended.items() if outcome is HostOutcome.UNREACHABLE}
        waves = plan_waves(
            self._rollout.strategy,
            self._rollout.hosts,
            changing={host for host in names if host in mine or host not in ended},
            unreachable=out_of_reach - mine,
            select=select,
        )
        self._waves = tuple(wave.hosts for wave in waves)
        self._wave_of = {host: number for number, wave in enumerate(self._waves, 1) for host in wave}
        self._plan(names, found, ended, known)
        unchanged = tuple(host for host, outcome in ended.items() if outcome is HostOutcome.UNCHANGED)
        self._emit(events.RolloutStarted(self._record.number, self._waves, unchanged))
        label = self._rollout.strategy.one_per
        domains = {host.name: host.labels[label] for host in self._rollout.hosts if label is not None and label in host.labels}
        decider = RolloutMachine(self._rollout.strategy, waves, total=len(names), ended=ended, domains=domains)
        self._canary = bool(waves) and waves[0].canary
        if changing and build is not None:
            await self._or_cancelled(build(changing))
        return await self._drive(decider)

    async def _drive(self, decider: RolloutMachine) -> Result:
        """Commands to tasks, and their ends to inputs, until the machine says that it is over."""
        result: Result | None = None
        async with asyncio.TaskGroup() as group, self._watching(group):
            commands = decider.start(time.monotonic())
            while result is None:
                for command in commands:
                    result = self._carry_out(command, group) or result
                if result is None:
                    happened = await self._inputs.get()
                    commands = ()
                    if self._history_error is not None:
                        commands = decider.receive(machine.CancelRequested("the history cannot be written"), time.monotonic())
                    commands += decider.receive(happened, time.monotonic())
        return result

    def _carry_out(self, command: machine.Command, group: asyncio.TaskGroup) -> Result | None:
        match command:
            case machine.BeginWave(index):
                self._emit(events.WaveStarted(index + 1, len(self._waves), self._waves[index], self._canary and index == 0))
            case machine.EndWave(index):
                self._emit(self._wave_finished(index))
            case machine.WaitUntil(moment, index):
                self._emit(events.BakeStarted(index + 1, self._rollout.strategy.bake_time))
                self._bake_task = group.create_task(self._bake(moment))
            case machine.Stop(reason):
                self._emit(events.RolloutStopped(reason))
                if self._bake_task is not None:
                    self._bake_task.cancel()
            case machine.BeginReturn(hosts, reason):
                self._emit(events.RollbackStarted(hosts, reason))
            case machine.Activate(host):
                group.create_task(self._activate(host))
            case machine.ReturnHost(host):
                group.create_task(self._return(host))
            case machine.Finish(result):
                return result
        return None

    async def _activate(self, host: str) -> None:
        touched = False

        def on_event(event: events.Event) -> None:
            nonlocal touched
            touched = touched or (isinstance(event, events.HostPhase) and event.state in _TOUCHED)
            self._emit(event)

        started = time.monotonic()
        try:
            self._history.host_started(self._record.number, host)
        except DeployerError as error:
            self._history_error = self._history_error or error
            result = HostResult(HostOutcome.FAILED, error=error)
        else:
            self._begun = True
            self._emit(events.HostStarted(host, self._wave_of.get(host, 0)))
            result = await self._ask(host, self._operations.deploy(host, on_event))
            result = dataclasses.replace(result, uncertain=result.uncertain or (touched and result.error is not None))
        self._settle(host, result, time.monotonic() - started)
        self._inputs.put_nowait(machine.HostEnded(host, result.outcome, result.uncertain))

    async def _return(self, host: str) -> None:
        back = self._previous[host]
        result = await self._ask(host, self._operations.rollback(host, back, self._emit))
        if result.outcome not in {HostOutcome.RETURNED, HostOutcome.NEEDS_PERSON}:
            reason = result.reason or f"it was not taken back to generation {back}"
            result = HostResult(HostOutcome.NEEDS_PERSON, reason=reason, log=result.log, error=result.error)
        self._settle(host, result, 0.0)
        self._inputs.put_nowait(machine.ReturnEnded(host, result.outcome))

    async def _ask(self, host: str, operation: Coroutine[object, object, HostResult]) -> HostResult:
        """One operation's end as a value, whatever happens in it: one host's trouble must not disturb the others."""
        try:
            return await self._until(self._cancellation.abandoned, operation, _LetGo)
        except _LetGo:
            return HostResult(HostOutcome.UNREACHABLE, reason="it was let go, and decides for itself", uncertain=True)
        except DeployerError as error:
            return result_of(error, self._unreachable)
        except Exception as error:
            return HostResult(HostOutcome.FAILED, error=OperationCrashed(host, f"{type(error).__name__}: {error}"))

    async def _or_cancelled(self, work: Coroutine[object, object, _T]) -> _T:
        """Work before any host is begun: one Ctrl-C ends it."""
        return await self._until(self._cancellation.requested, work, _Cancelled)

    @staticmethod
    async def _until(signal: asyncio.Event, work: Coroutine[object, object, _T], ending: type[Exception]) -> _T:
        """The work's value, or `ending` where the signal comes first; the work is cancelled then, and given a moment."""
        task, waiter = asyncio.create_task(work), asyncio.create_task(signal.wait())
        try:
            await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ending
        finally:
            waiter.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=LET_GO_TIME)

    async def _bake(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        self._inputs.put_nowait(machine.TimePassed())

    @contextlib.asynccontextmanager
    async def _watching(self, group: asyncio.TaskGroup) -> AsyncIterator[None]:
        """Turn cancellation into input while the rollout runs."""

        async def watch() -> None:
            await self._cancellation.requested.wait()
            self._inputs.put_nowait(machine.CancelRequested())
            await self._cancellation.abandoned.wait()
            self._inputs.put_nowait(machine.CancelRequested(abandon=True))

        watcher = group.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()

    def _plan(
        self,
        names: list[str],
        found: Mapping[str, Preflight | HostResult],
        ended: Mapping[str, HostOutcome],
        known: Mapping[str, HostRecord],
    ) -> None:
        """Write the plan down, and remember where each host was before this rollout first saw it."""
        planned: list[PlannedHost] = []
        for host in names:
            answer, record = found[host], known.get(host)
            was = answer if isinstance(answer, Preflight) else None
            if record is not None and record.started is not None:
                self._previous[host] = record.previous_generation
            else:
                self._previous[host] = was.state.generation if was else 0
            planned.append(
                PlannedHost(
                    host,
                    self._wave_of.get(host, 0),
                    self._previous[host],
                    was.state.system if was else "",
                    was.system if was else "",
                    ended.get(host, HostOutcome.NOT_STARTED),
                    _error_of(answer) if isinstance(answer, HostResult) else {},
                )
            )
        self._outcomes = {plan.host: plan.outcome for plan in planned}
        self._history.plan_hosts(self._record.number, planned)
        for plan in planned:
            record = known.get(plan.host)
            if record is not None and record.outcome is HostOutcome.UNDER_WAY and plan.outcome is not HostOutcome.NOT_STARTED:
                answer = found[plan.host]
                generation = answer.state.generation if isinstance(answer, Preflight) else 0
                self._history.host_ended(self._record.number, plan.host, plan.outcome, generation=generation, error=plan.error)

    def _settle(self, host: str, result: HostResult, seconds: float) -> None:
        """Tell and write down how a host ended. A history that fails stops the rollout; it does not lose the host's end."""
        self._outcomes[host] = result.outcome
        _tell(self._emit, host, result, seconds)
        try:
            self._history.host_ended(
                self._record.number, host, result.outcome, generation=result.generation, error=_error_of(result)
            )
        except DeployerError as error:
            self._history_error = self._history_error or error

    def _close(self, ending: Ending, reason: str) -> None:
        self._emit(self._finished(ending, reason))
        self._history.finish(self._record.number, ending, ending.exit_code, reason=reason)

    def _finished(self, ending: Ending, reason: str) -> events.RolloutFinished:
        seconds = time.monotonic() - self._started
        outcomes = {host: str(outcome) for host, outcome in self._outcomes.items()}
        return events.RolloutFinished(self._record.number, ending, ending.exit_code, outcomes, reason, seconds)

    def _emit(self, event: events.Event) -> None:
        try:
            self._sink(event)
        except OSError:  # whoever watched has gone; the hosts under way matter more than telling of them
            self._sink = _nobody
        try:
            self._history.record(self._record.number, event.to_json())
        except DeployerError as error:
            self._history_error = self._history_error or error

    def _wave_finished(self, index: int) -> events.WaveFinished:
        outcomes = [self._outcomes[host] for host in self._waves[index]]
        good = sum(outcome in _GOOD for outcome in outcomes)
        lost = outcomes.count(HostOutcome.UNREACHABLE)
        return events.WaveFinished(index + 1, good, len(outcomes) - good - lost, lost)


def _nobody(event: events.Event) -> None:
    """Takes events after the stream that they went to was closed."""


def _ended_already(found: Preflight | HostResult, record: HostRecord | None) -> HostOutcome | None:
    """How a host stands before it is begun; None: it is to be begun.

    Of an interrupted run, what had ended badly stays so and is not tried again; what was under way is judged by where the
    host is now.
    """
    if record is not None and record.outcome in _ENDED:
        return record.outcome
    if isinstance(found, HostResult):
        was_confirmed = record is not None and record.outcome is HostOutcome.CONFIRMED
        return HostOutcome.CONFIRMED if was_confirmed and found.outcome is HostOutcome.UNREACHABLE else found.outcome
    if found.needs_change:
        return None
    was_begun = record is not None and record.outcome in {HostOutcome.CONFIRMED, HostOutcome.UNDER_WAY, HostOutcome.UNREACHABLE}
    return HostOutcome.CONFIRMED if was_begun and record is not None and record.wave > 0 else HostOutcome.UNCHANGED


def _error_of(result: HostResult) -> dict[str, JsonValue]:
    if result.error is not None:
        return result.error.to_json()
    return {"error": str(result.outcome), "message": result.reason} if result.reason else {}


def _tell(emit: EventSink, host: str, result: HostResult, seconds: float = 0.0) -> None:
    """The event of a host's end."""
    error = _error_of(result)
    match result.outcome:
        case HostOutcome.CONFIRMED:
            emit(events.HostConfirmed(host, result.generation, result.system, seconds))
        case HostOutcome.STAGED:
            emit(events.HostStaged(host, result.generation, result.system))
        case HostOutcome.PUSHED:
            emit(events.HostPushed(host, result.system))
        case HostOutcome.UNCHANGED:
            emit(events.HostUnchanged(host, result.generation, result.system))
        case HostOutcome.ROLLED_BACK:
            emit(events.HostRolledBack(host, result.reason, result.log, result.generation))
        case HostOutcome.RETURNED:
            emit(events.HostReturned(host, result.generation, result.system, result.reason))
        case HostOutcome.UNREACHABLE:
            emit(events.HostUnreachable(host, error))
        case HostOutcome.NEEDS_PERSON:
            emit(events.HostNeedsPerson(host, error, result.log))
        case _:
            emit(events.HostFailed(host, error, result.log))
