"""`deployer uninstall`."""

from __future__ import annotations

import click

from deployer.cli.connections import on_each
from deployer.cli.deployment import run
from deployer.cli.display import Display
from deployer.cli.options import dry_run_option, json_option, may_ask, on_option, project, yes_option
from deployer.cli.passwords import become_options
from deployer.copy import HostSession
from deployer.errors import DeployerError, ExitCode, JsonValue
from deployer.formats.messages import Action


@click.command("uninstall")
@on_option
@click.option("--discard-kept", is_flag=True, help="Versions of our files that were changed by hand may be lost.")
@dry_run_option
@yes_option
@become_options
@json_option
@click.pass_context
def command(context: click.Context, selector: str | None, discard_kept: bool, dry_run: bool, yes: bool) -> None:
    """Leave hosts as they were before deployer: nothing of ours stays, and what was set aside comes back.

    Where somebody changed files of ours by hand, no host is touched without --discard-kept. Exit code 2 then.
    """
    what = project(context)
    hosts = what.select(selector)
    display = Display(what.settings)
    asks = not dry_run and may_ask(what.settings, yes=yes)

    async def plan(session: HostSession) -> tuple[Action, ...]:
        return await session.uninstall(dry_run=True)

    async def leave(session: HostSession) -> tuple[Action, ...]:
        return await session.uninstall(dry_run=False, discard_kept=discard_kept)

    async def work() -> int:
        if asks and not display.ask(f"Uninstall from {len(hosts)} hosts?"):
            return int(ExitCode.DONE)
        what.history.lock([host.name for host in hosts])
        try:
            answers = dict(await on_each(what, hosts, plan))
            refused = [] if discard_kept else _refusals(answers)
            if not (refused or dry_run):
                ready = [host for host in hosts if not isinstance(answers[host.name], DeployerError)]
                answers.update(await on_each(what, ready, leave))
        finally:
            what.history.unlock([host.name for host in hosts])
        codes = [ExitCode.DONE]
        for name, answer in answers.items():
            if isinstance(answer, DeployerError):
                codes.append(answer.exit_code)
                display.error(answer)
            elif dry_run or not refused:
                _show(name, answer, display, dry_run=dry_run, as_json=what.settings.as_json)
        for error in refused:
            codes.append(error.exit_code)
            display.error(error)
        return int(max(codes))

    run(work)


def _refusals(answers: dict[str, tuple[Action, ...] | DeployerError]) -> list[DeployerError]:
    """What must not be lost unless somebody says so, by host."""
    from deployer.host.refusals import KeptFiles
    from deployer.host.uninstall import would_lose

    plans = {name: () if isinstance(answer, DeployerError) else would_lose(answer) for name, answer in answers.items()}
    return [KeptFiles(paths, name) for name, paths in plans.items() if paths]


def _show(name: str, actions: tuple[Action, ...], display: Display, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        documents: list[JsonValue] = [action.to_document() for action in actions]
        display.data({"host": name, "actions": documents})
        return
    for action in actions:
        because = f" ({action.because})" if action.because else ""
        display.text(f"{name}  {action.operation} {action.kind} {action.target}{because}")
    display.text(f"{name}  {'would be' if dry_run else 'is'} as it was before deployer ({len(actions)} actions)")
