"""`deployer uninstall`."""

from __future__ import annotations

import sys

import click

from deployer.cli.connections import on_each
from deployer.cli.deployment import run
from deployer.cli.display import Display
from deployer.cli.options import dry_run_option, json_option, on_option, project, yes_option
from deployer.copy import HostSession
from deployer.errors import DeployerError, ExitCode, JsonValue
from deployer.formats.messages import Action


@click.command("uninstall")
@on_option
@dry_run_option
@yes_option
@json_option
@click.pass_context
def command(context: click.Context, selector: str | None, dry_run: bool, yes: bool) -> None:
    """Leave hosts as they were before deployer: nothing of ours stays, and what was set aside comes back."""
    what = project(context)
    hosts = what.select(selector)
    display = Display(what.settings)
    asks = not (yes or dry_run or what.settings.as_json) and sys.stdin.isatty()

    async def ask(session: HostSession) -> tuple[Action, ...]:
        return await session.uninstall(dry_run=dry_run)

    async def work() -> int:
        if asks and not display.ask(f"Uninstall from {len(hosts)} hosts?"):
            return int(ExitCode.DONE)
        what.history.lock([host.name for host in hosts])
        try:
            answers = await on_each(what, hosts, ask)
        finally:
            what.history.unlock([host.name for host in hosts])
        codes = [ExitCode.DONE]
        for name, answer in answers.items():
            if isinstance(answer, DeployerError):
                codes.append(answer.exit_code)
                display.error(answer)
                continue
            actions: list[JsonValue] = [action.to_document() for action in answer]
            if what.settings.as_json:
                display.data({"host": name, "actions": actions})
            else:
                for action in answer:
                    display.text(f"{name}  {action.operation} {action.kind} {action.target}")
                display.text(f"{name}  {'would be' if dry_run else 'is'} as it was before deployer ({len(answer)} actions)")
        return int(max(codes))

    run(work)
