"""Bring hosts somewhere: what `plan`, `deploy`, `rollback` and `reconcile` share, from the first connection to the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from deployer.cli.connections import UNREACHABLE, Connections
from deployer.cli.display import Display
from deployer.cli.project import Project, controller_name
from deployer.copy import ClosureSender
from deployer.errors import ConfigurationError, DeployerError, ExitCode, JsonValue, raise_all
from deployer.formats.messages import Plan
from deployer.history import HostOutcome
from deployer.inventory import Host
from deployer.rollout import Cancellation, Preflight, Rollout, Strategy, preflight, roll_out
from deployer.rollout.live import LiveOperations, Target


class Declined(Exception):
    """The person at the terminal did not want the plan."""


class ChangedMeanwhile(ConfigurationError):
    """What a host is to have is something else now than when it was planned."""

    host: str

    @property
    def message(self) -> str:
        """What."""
        return "its configuration, or what that reads, has changed since the plan was made"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Deploy again, to see the plan for what it says now."


@dataclass(frozen=True, slots=True)
class Intention:
    """What a command wants of the hosts."""

    command: str
    hosts: Sequence[Host]
    targets: Mapping[str, Target]
    strategy: Strategy
    details: Mapping[str, JsonValue]
    asks: bool = False
    """Whether a person is asked once the plan is known."""
    resumes: int | None = None
    """The number of an interrupted rollout that goes on."""


async def show_plan(
    project: Project, intention: Intention, display: Display, connections: Connections
) -> tuple[Mapping[str, Plan], int]:
    """Ask every host what would be done. Changes nothing anywhere. Returns the plans, and the exit code."""
    operations = LiveOperations(intention.targets, connections, None, controller_name())
    try:
        found = await preflight(intention.hosts, operations, display.emit, unreachable=UNREACHABLE)
        changing = [name for name, answer in found.items() if isinstance(answer, Preflight) and answer.needs_change]
        plans, errors = await _plans(operations, changing)
    finally:
        await operations.close()
    bad = [answer for answer in found.values() if not isinstance(answer, Preflight) or answer.error]
    unchanged = [
        name for name, answer in found.items() if isinstance(answer, Preflight) and not (answer.needs_change or answer.error)
    ]
    display.plan(plans, unchanged)
    told = [] if project.settings.as_json else [answer.error for answer in bad if answer.error]  # as JSON, the event told it
    for error in [*told, *errors]:
        display.error(error)
    return plans, int(ExitCode.FAILED if bad or errors else ExitCode.DONE)


async def carry_out(project: Project, intention: Intention, display: Display, connections: Connections) -> int:
    """Plan, ask, build, and roll out. Returns the exit code."""
    sender = ClosureSender(project.store)
    resumed = () if intention.resumes is None else project.history.hosts_of(intention.resumes)
    under_way = [record.host for record in resumed if record.outcome is HostOutcome.UNDER_WAY]
    operations = LiveOperations(intention.targets, connections, sender, controller_name(), under_way)

    async def ready(changing: Sequence[str]) -> None:
        plans, errors = await _plans(operations, changing)
        display.plan(plans, [host.name for host in intention.hosts if host.name not in changing])
        raise_all(errors)
        reboots = any(target.reboot for target in intention.targets.values())
        question = f"{'Reboot' if reboots else 'Change'} {len(changing)} hosts?"
        if intention.asks and not await asyncio.to_thread(display.ask, question):
            raise Declined
        await build(project, intention, changing, display)

    cancellation = Cancellation()
    rollout = Rollout(intention.command, intention.strategy, intention.hosts, intention.details, intention.resumes)
    try:
        with _interrupts(cancellation, display):
            result = await roll_out(
                rollout,
                operations,
                project.history,
                display.emit,
                build=ready,
                select=lambda selector: {host.name for host in project.select(selector)},
                unreachable=UNREACHABLE,
                cancellation=cancellation,
            )
    except Declined:
        return int(ExitCode.DONE)
    finally:
        await operations.close()
        sender.close()
        display.close()
    return int(result.exit_code)


async def build(project: Project, intention: Intention, changing: Sequence[str], display: Display) -> None:
    """Build the systems of the hosts that need them, and keep each from the collector as its host's newest."""
    from deployer.generation import instantiate
    from deployer.store.generations import HOST, add_generations

    systems = project.systems([host for host in intention.hosts if host.name in changing and host.configuration])
    systems = {name: system for name, system in systems.items() if intention.targets[name].generation == 0}
    raise_all([ChangedMeanwhile(name) for name, one in systems.items() if str(one.output) != intention.targets[name].system])
    wanted = {system.output: system for system in systems.values()}
    project.store.keep(wanted)
    missing = [system for output, system in sorted(wanted.items(), key=str) if not project.store.is_valid(output)]
    if missing:
        from deployer.build import realise
        from deployer.build.store_paths import fetch_store_paths
        from deployer.cli.building import closing_caches

        with closing_caches(project.build_settings(display.say)) as settings:
            made = [system.made for system in missing]
            await fetch_store_paths(project.store, project.packages, made, settings, on_event=display.built)
            derivations = [instantiate(project.store, system, project.packages) for system in missing]
            await realise(project.store, derivations, settings=settings, on_event=display.built)
    add_generations(project.store, {HOST + name: system.output for name, system in systems.items()})


async def _plans(operations: LiveOperations, hosts: Sequence[str]) -> tuple[Mapping[str, Plan], list[DeployerError]]:
    async def ask(host: str) -> Plan | DeployerError:
        try:
            return await operations.plan(host)
        except DeployerError as error:
            return error

    answers = dict(zip(hosts, await asyncio.gather(*(ask(host) for host in hosts)), strict=True))
    plans = {host: answer for host, answer in answers.items() if isinstance(answer, Plan)}
    return plans, [answer for answer in answers.values() if isinstance(answer, DeployerError)]


@contextlib.contextmanager
def _interrupts(cancellation: Cancellation, display: Display) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        display.interrupted(again=cancellation.requested.is_set())
        cancellation.request()

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def run(work: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Run a command's coroutine and make its result the exit code."""
    click.get_current_context().exit(asyncio.run(work()))
