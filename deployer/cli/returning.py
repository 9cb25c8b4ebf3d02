"""Bringing hosts to a generation that they hold: what `rollback` and `generations switch` do."""

from __future__ import annotations

from collections.abc import Mapping

from deployer.cli.connections import Connections, on_each
from deployer.cli.deployment import Intention, carry_out, run, show_plan
from deployer.cli.display import Display
from deployer.cli.options import may_ask
from deployer.cli.project import Project
from deployer.cli.targets import strategy_for
from deployer.copy import HostSession
from deployer.errors import DeployerError, raise_all
from deployer.formats.messages import Generation
from deployer.inventory import Host
from deployer.rollout.live import GenerationMissing, Target


def return_hosts(
    project: Project, selector: str | None, number: int | None, overrides: Mapping[str, str | None], *, dry_run: bool, yes: bool
) -> None:
    """To generation `number`, or to the one before the current. Ends the command with the exit code."""
    hosts, display = project.select(selector), Display(project.settings)
    asks = may_ask(project.settings, yes=yes)

    async def work() -> int:
        targets = await _targets(project, hosts, number)
        strategy, remark = strategy_for(project, hosts, selector, overrides)
        if remark:
            display.say(remark)
        intention = Intention("rollback", hosts, targets, strategy, {"to": number or 0, "selector": selector or ""}, asks)
        connections = Connections(project, hosts)
        if dry_run:
            return (await show_plan(project, intention, display, connections))[1]
        return await carry_out(project, intention, display, connections)

    run(work)


async def _targets(project: Project, hosts: tuple[Host, ...], number: int | None) -> Mapping[str, Target]:
    async def ask(session: HostSession) -> Target:
        status = await session.status()
        generation = _chosen(session.host.name, status.generation, status.generations, number)
        manifest = await session.manifest(generation.system)
        return Target(generation.system, manifest, generation=generation.number)

    answers = await on_each(project, hosts, ask)
    raise_all(answer for answer in answers.values() if isinstance(answer, DeployerError))
    return {name: answer for name, answer in answers.items() if isinstance(answer, Target)}


def _chosen(host: str, current: int, generations: tuple[Generation, ...], number: int | None) -> Generation:
    known = {generation.number: generation for generation in generations}
    wanted = number or max((candidate for candidate in known if candidate < current), default=0)
    if wanted not in known:
        raise GenerationMissing(host, wanted, tuple(sorted(known)))
    return known[wanted]
