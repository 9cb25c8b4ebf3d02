"""`deployer status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from deployer.cli.connections import UNREACHABLE, on_each
from deployer.cli.deployment import run
from deployer.cli.display import Display
from deployer.cli.options import json_option, on_option, project
from deployer.cli.passwords import become_options
from deployer.copy import HostSession
from deployer.errors import DeployerError, ExitCode, JsonValue
from deployer.formats.messages import ROLLBACK_FAILED, CheckResult, HostStatus
from deployer.rollout.controller_checks import probe_once
from deployer.ui import Paint, escape, status_table

if TYPE_CHECKING:
    from deployer.generation import Outline


@click.command("status")
@on_option
@click.option("--check", "with_checks", is_flag=True, help="Run the health checks once, now.")
@become_options
@json_option
@click.pass_context
def command(context: click.Context, selector: str | None, with_checks: bool) -> None:
    """Show each host's generation, the state of its last activation, and its generations."""
    what = project(context)
    hosts = what.select(selector)
    display = Display(what.settings)
    codes = [ExitCode.DONE]
    outlines: Mapping[str, Outline] = {}
    if with_checks:
        try:
            outlines = what.outlines([host for host in hosts if host.configuration is not None])
        except DeployerError as error:  # the hosts can tell of theirs all the same
            display.error(error)
            codes.append(error.exit_code)

    async def ask(session: HostSession) -> tuple[HostStatus, tuple[CheckResult, ...]]:
        status = await session.status()
        if not with_checks:
            return status, ()
        outline = outlines.get(session.host.name)
        outside = outline.controller_checks if outline is not None and str(outline.output) == status.system else ()
        return status, (*await session.check(), *await probe_once(outside))

    async def work() -> int:
        answers = await on_each(what, hosts, ask)
        for name, answer in answers.items():
            if isinstance(answer, DeployerError):
                codes.append(answer.exit_code)
                if what.settings.as_json:
                    display.data({"host": name, **answer.to_json()})
                continue
            status, checks = answer
            if status.state == ROLLBACK_FAILED:
                codes.append(ExitCode.NEEDS_PERSON)
            elif not all(check.healthy for check in checks):
                codes.append(ExitCode.FAILED)
            if what.settings.as_json:
                results: list[JsonValue] = [check.to_document() for check in checks]
                display.data({"host": name, **status.to_document(), "checks": results})
        if not what.settings.as_json:
            statuses = {
                name: (_state_of(answer), answer.message) if isinstance(answer, DeployerError) else answer[0]
                for name, answer in answers.items()
            }
            display.text(status_table(statuses, what.history.last_of_hosts(list(answers)), display.paint).rstrip("\n"))
            for name, answer in answers.items():
                for check in () if isinstance(answer, DeployerError) else answer[1]:
                    display.text(_told(name, check, display.paint))
        return int(max(codes))

    run(work)


def _told(host: str, check: CheckResult, paint: Paint) -> str:
    health = paint("healthy", "green") if check.healthy else paint("red", "red")
    where = " from the controller" if check.from_controller else ""
    return f"{host}  {escape(check.name)} ({escape(check.kind)}{where}): {health}  {escape(check.message)}"


def _state_of(error: DeployerError) -> str:
    """A host that answered, if not as it should, was reached."""
    return "unreachable" if isinstance(error, UNREACHABLE) else "unknown"
