"""`deployer rollback`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from deployer.cli.connections import Connections, on_each
from deployer.cli.deployment import Intention, carry_out, run, show_plan
from deployer.cli.display import Display
from deployer.cli.options import dry_run_option, json_option, on_option, project, strategy_options
from deployer.cli.project import Project
from deployer.cli.targets import strategy_for
from deployer.copy import HostSession
from deployer.errors import DeployerError, raise_all
from deployer.formats.manifest import Manifest
from deployer.formats.messages import Generation
from deployer.inventory import Host
from deployer.rollout.live import GenerationMissing, Target


@click.command("rollback")
@on_option
@click.option("--to", "number", type=click.IntRange(min=1), help="The generation's number.  [default: the one before]")
@strategy_options
@dry_run_option
@json_option
@click.pass_context
def command(context: click.Context, /, selector: str | None, number: int | None, dry_run: bool, **overrides: str | None) -> None:
    """Return hosts to an earlier generation, with the same checks and the same waves as a deploy."""
    what = project(context)
    hosts = what.select(selector)
    display = Display(what.settings)

    async def work() -> int:
        targets = await _targets(what, hosts, number)
        strategy, remark = strategy_for(what, hosts, selector, overrides)
        if remark:
            display.say(remark)
        intention = Intention("rollback", hosts, targets, strategy, {"to": number or 0, "selector": selector or ""})
        connections = Connections(what, hosts)
        if dry_run:
            return (await show_plan(what, intention, display, connections))[1]
        return await carry_out(what, intention, display, connections)

    run(work)


async def _targets(project: Project, hosts: tuple[Host, ...], number: int | None) -> Mapping[str, Target]:
    async def ask(session: HostSession) -> Target:
        status = await session.status()
        generation = _chosen(session.host.name, status.generation, status.generations, number)
        manifest = await session.manifest(generation.system)
        return Target(generation.system, manifest, Manifest.from_bytes(manifest).timing, generation=generation.number)

    answers = await on_each(project, hosts, ask)
    raise_all(answer for answer in answers.values() if isinstance(answer, DeployerError))
    return {name: answer for name, answer in answers.items() if isinstance(answer, Target)}


def _chosen(host: str, current: int, generations: tuple[Generation, ...], number: int | None) -> Generation:
    known = {generation.number: generation for generation in generations}
    wanted = number or max((candidate for candidate in known if candidate < current), default=0)
    if wanted not in known:
        raise GenerationMissing(host, wanted, tuple(sorted(known)))
    return known[wanted]
